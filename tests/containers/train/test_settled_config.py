"""The config that is formatted once."""

from __future__ import annotations

from copy import deepcopy

import pytest
from mmengine import Config
from mmengine.config import config as mmengine_config

from mmdet_jetson.stages.training.settled_config import SettledConfig


@pytest.fixture
def formatted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was handed to the formatter."""
    texts: list[str] = []
    real = mmengine_config.FormatCode

    def count(text: str, **options: object) -> object:
        texts.append(text)
        return real(text, **options)

    monkeypatch.setattr(mmengine_config, "FormatCode", count)
    return texts


def test_the_text_is_mmengines_and_is_made_once(formatted: list[str]) -> None:
    config = Config({"a": 1, "once": {"list": [1, 2], "name": "x"}})
    settled = SettledConfig.of(config)
    assert settled.pretty_text == deepcopy(settled).pretty_text
    assert len(formatted) == 1
    assert settled.pretty_text == config.pretty_text
    assert isinstance(deepcopy(settled), SettledConfig)


def test_a_change_gives_a_new_text() -> None:
    settled = SettledConfig.of(Config({"changed": 1}))
    before = settled.pretty_text
    settled.changed = 2
    assert settled.pretty_text != before
