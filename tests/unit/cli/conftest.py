"""What every test of a command needs: `invoke` as it is typed, and a user who set none of our variables."""

from collections.abc import Iterator

import pytest
from in_process import BROAD, Commands, commands_of


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
