# Bootstrap only: it makes the environment of Invoke, which takes over from there (invoke --list).
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint images setup clean

demo: .venv/host.stamp
	@$(BIN)/invoke demo

test: .venv/dev.stamp
	@$(BIN)/invoke test

lint: .venv/dev.stamp
	@$(BIN)/invoke lint

images: .venv/host.stamp
	@$(BIN)/invoke images.test

setup: .venv/host.stamp
	@echo "ready: . .venv/bin/activate, then invoke --list"

.venv/host.stamp: docker/host.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "error: Python 3.10 or newer is needed; try: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "error: this Python cannot make virtual environments; try: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up Invoke and its packages in .venv (once)"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docker/host.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: .venv/host.stamp docker/dev.lock
	@echo "setting up the test tools in .venv (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docker/dev.lock
	@touch $@

clean:
	rm -rf .venv
