"""What every test of a command needs: `invoke` as it is typed, and a user who set none of our variables."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import BROAD, Commands, commands_of
from registry_server import RegistryServer


@pytest.fixture(scope="module", autouse=True)
def _by_hand_and_online() -> Iterator[None]:
    """Forget what whoever runs the tests may have set: a CI pushes unasked, and offline nothing is.

    It comes before the fixtures of a whole module, of which some run commands.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in ("CI", "MMDET_JETSON_OFFLINE"):
            environment.delenv(name, raising=False)
        yield


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """`invoke` in this process, at a terminal of `BROAD`; returns the exit code and what was printed."""
    monkeypatch.setenv("COLUMNS", str(BROAD))
    return commands_of(capsys)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache, store and channels in the test's own folder, and no credentials of the user's."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MMDET_JETSON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MMDET_JETSON_CHANNELS", str(tmp_path / "channels"))
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "artifacts"))
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    """A registry in this process."""
    with RegistryServer() as running:
        yield running
