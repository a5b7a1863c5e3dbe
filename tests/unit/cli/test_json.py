"""JSON goes out as it is, and nobody minds whoever stops reading it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_trainings import Training, make

from mmdet_jetson.cli import runs, showing
from mmdet_jetson.store import Store


def test_who_stops_reading_sees_no_traceback(tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts")
    for number in range(30):
        make(store, tmp_path, Training(seed=number, targets=()))
    script = "from mmdet_jetson.cli.runs import runs; runs(as_json=True)"
    environment = {**os.environ, "MMDET_JETSON_ARTIFACTS": str(store.root)}
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", script],
            check=False,
            env=environment,
            stdout=out,
            stderr=subprocess.PIPE,
        )

    assert b"Traceback" not in done.stderr


def test_words_are_no_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "artifacts")
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(store.root))
    make(store, tmp_path, Training(environment="train:smile:py3.8", targets=()))

    showing.show("mugs.dataset", as_json=True)

    told = json.loads(capsys.readouterr().out)
    assert told["parts"][0]["environment"] == "train:smile:py3.8"
    runs.runs(as_json=True)
    assert len(json.loads(capsys.readouterr().out)) == 1
