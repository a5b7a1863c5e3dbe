"""Time and peak memory of ``invoke diff`` between two large datasets.

    .venv/bin/python benchmarks/comparison.py [PICTURES]

The annotations are as the dataset stage writes them, ten objects a picture, and on the second side
every hundredth picture has another label. The folders of pictures differ, and hold no more than one
small file each, so pictures go by their names.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from host_memory import INVOKE, high_water_mark

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.store import Provenance, Store

OBJECTS = 10
CREATED = "2026-11-26T00:00:00+00:00"


def main() -> None:
    pictures = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        store = Store(folder / "store")
        for side in (0, 1):
            made = folder / f"side-{side}"
            (made / "train").mkdir(parents=True)
            (made / "train/0.jpg").write_bytes(bytes([side]))
            (made / "train.json").write_text(annotations(pictures, side))
            provenance = Provenance(stage="dataset", step="dataset", created=CREATED)
            store.put("dataset", made, provenance, [f"side-{side}.dataset"])
        seconds, peak = measure(folder / "store")
    print("| pictures a side | objects a side | seconds | peak |\n|---:|---:|---:|---:|")
    print(f"| {pictures} | {pictures * OBJECTS} | {seconds:.0f} | {peak:.0f} MB |")


def annotations(pictures: int, side: int) -> str:
    """Write a split; ``side`` is 1 for that whose labels are changed."""
    images = [
        {"id": each, "file_name": f"{each}.jpg", "width": 640, "height": 480}
        for each in range(pictures)
    ]
    objects = [
        {
            "id": number,
            "image_id": number // OBJECTS,
            "category_id": 2 if side and number % (100 * OBJECTS) == 0 else 1,
            "bbox": [float(number % 600), 1.0, 9.0, 9.0],
            "area": 81.0,
            "segmentation": [[number % 600, 1, 9, 9]],
            "iscrowd": 0,
        }
        for number in range(pictures * OBJECTS)
    ]
    categories = [{"id": 1, "name": "mug"}, {"id": 2, "name": "jug"}]
    return json.dumps(
        {"info": {}, "images": images, "annotations": objects, "categories": categories}
    )


def measure(store: Path) -> tuple[float, float]:
    """Run the command; give its seconds and its peak in MB."""
    began, peak = time.perf_counter(), 0.0
    with subprocess.Popen(
        [INVOKE, "diff", "side-0.dataset", "side-1.dataset"],
        cwd=ROOT, env={**os.environ, "MMDET_JETSON_ARTIFACTS": str(store)},
    ) as process:  # fmt: skip
        while process.poll() is None:
            peak = max(peak, high_water_mark(process.pid))
            time.sleep(0.02)
    if process.returncode:
        sys.exit(process.returncode)
    return time.perf_counter() - began, peak


if __name__ == "__main__":
    main()
