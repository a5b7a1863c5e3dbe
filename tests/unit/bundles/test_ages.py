"""How long ago something was made, as every Python that runs us says it."""

from datetime import datetime, timezone

import pytest

from mmdet_jetson.bundles.ledger import when
from mmdet_jetson.bundles.overview import age

NOW = datetime(2026, 11, 27, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("created", "told"),
    [
        ("2026-11-27T11:59:00Z", "1 minute"),
        ("2026-11-27T11:59:00+00:00", "1 minute"),
        ("2026-11-24T13:00:00+01:00", "3 days"),
        ("2024-01-01T00:00:00Z", "3 years"),
        ("2026-11-27T13:00:00Z", "0 minutes"),
        ("yesterday", "?"),
        ("", "?"),
    ],
)
def test_an_age(created: str, told: str) -> None:
    assert age(created, NOW) == told
    assert (when(created) is None) == (told == "?")
