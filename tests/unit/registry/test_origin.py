"""Which hosts are this machine."""

import pytest

from mmdet_jetson.registry.origin import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["registry.localhost", "localhost.example", "127.0.0.1.example", "10.0.0.1", "0.0.0.0"]
)
def test_others(host: str) -> None:
    """Whatever a name server answers for it decides where the first would go."""
    assert not is_loopback(host)
