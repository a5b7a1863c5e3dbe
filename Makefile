# Bootstrap only: it makes the environment of Invoke, which takes over from there (invoke --list).
# Where python3 is too old, as on JetPack 5: make setup PYTHON=/path/to/python3.12, once.
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
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10) and "error: %s is Python %d.%d, and the menu needs 3.10 or newer" % (sys.argv[1], *sys.version_info[:2]))' "$(PYTHON)" || { \
	  echo '  try: python3 -m pip install --user uv && python3 -m uv python install 3.12' >&2; \
	  echo '       make setup PYTHON="$$(python3 -m uv python find 3.12)"' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { \
	  echo "error: this Python cannot make virtual environments; try: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up Invoke and its packages in .venv (once)"
	@"$(PYTHON)" -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docker/host.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: .venv/host.stamp docker/dev.lock
	@echo "setting up the test tools in .venv (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docker/dev.lock
	@touch $@

clean:
	rm -rf .venv
