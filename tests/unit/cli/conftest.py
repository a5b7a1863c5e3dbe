"""What every test of a command needs: a user who set none of our variables."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _by_hand_and_online() -> Iterator[None]:
    """Forget what whoever runs the tests may have set: a CI pushes unasked, and offline nothing is.

    It comes before the fixtures of a whole module, of which some run commands.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in ("CI", "MMDET_JETSON_OFFLINE"):
            environment.delenv(name, raising=False)
        yield
