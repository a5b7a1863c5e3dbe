import os
from pathlib import Path

import pytest

from mmdet_jetson.fetching.locations import LocationFailed, copy


@pytest.mark.timeout(20)
def test_a_pipe_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LocationFailed, match="cannot be read: it is a pipe"):
        copy(tmp_path / "pipe", tmp_path / "copied", lambda done, total: None)
    assert not (tmp_path / "copied").exists()
