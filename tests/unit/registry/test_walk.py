"""What a transfer walks through, and where it stops."""

from pathlib import Path

import pytest
from registry_content import index_of

from mmdet_jetson.registry.folder import open_folder
from mmdet_jetson.registry.graph import DEPTH, walk
from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.workers import Workers


def test_as_deep_as_is_allowed_and_no_deeper(tmp_path: Path) -> None:
    chain = [index_of()]
    for _ in range(DEPTH):
        chain.append(index_of(chain[-1]))
    with open_folder("oci:folder", tmp_path / "folder", writing=True) as place:
        for index in chain:
            place.put_manifest(index, ["chain"])
        found = walk(place, [chain[DEPTH - 1].descriptor], Workers(), evidence=False)
        assert len(found.nodes) == DEPTH
        with pytest.raises(PlaceError, match="leads on and on"):
            walk(place, [chain[DEPTH].descriptor], Workers(), evidence=False)
