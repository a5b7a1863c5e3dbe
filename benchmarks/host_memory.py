"""Peak memory of the host side for few and for many pictures, from a folder and from an archive.

    .venv/bin/python benchmarks/host_memory.py [MANY]

Runs ``invoke dataset`` and reads the high-water mark of the command's own process (VmHWM), without
the stage that it starts.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from mmdet_jetson.config.settings import ROOT

INVOKE = str(Path(sys.executable).with_name("invoke"))
CONFIG = """
name = "memory"
input_size = [64, 64]
targets = ["pc-onnxruntime"]
[dataset]
source = "{source}"
classes = ["a"]
default_class = "a"
train = {{ pictures = "train", annotations = "train/via.json" }}
val = {{ pictures = "val", annotations = "val/via.json" }}
[train]
config = "configs/train/rtmdet_tiny_demo.py"
"""
BOX = {"name": "rect", "x": 1, "y": 1, "width": 5, "height": 5}


def main() -> None:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print("| pictures | from | peak of the host side | seconds |\n|---:|---|---:|---:|")
    for count in (200, many):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            draw(folder / "data", count)
            archive = folder / "data.zip"
            with zipfile.ZipFile(archive, "w") as packed:
                for path in (folder / "data").rglob("*.*"):
                    packed.write(path, path.relative_to(folder / "data"))
            for source in (folder / "data", archive):
                peak, seconds = peak_of(folder, source)
                kind = "a folder" if source.is_dir() else "an archive"
                print(f"| {count} | {kind} | {peak:.0f} MB | {seconds:.0f} |", flush=True)


def draw(folder: Path, count: int) -> None:
    """Write tiny pictures, each different from all others, nine in ten of them for training."""
    for split, numbers in (
        ("train", range(count * 9 // 10)),
        ("val", range(count * 9 // 10, count)),
    ):
        (folder / split).mkdir(parents=True)
        annotations = {}
        for number in numbers:
            name = f"{number}.ppm"
            color = number.to_bytes(3, "big")
            (folder / split / name).write_bytes(b"P6 8 8 255\n" + color * 64)
            region = {"shape_attributes": BOX, "region_attributes": {}}
            annotations[name] = {"filename": name, "size": 1, "regions": [region]}
        (folder / split / "via.json").write_text(json.dumps(annotations))


def peak_of(folder: Path, source: Path) -> tuple[float, float]:
    """Return the command's high-water mark in MB, and how long it ran in seconds."""
    configs = folder / "configs"
    configs.mkdir(exist_ok=True)
    for name in ("targets.toml", "sources.toml"):
        (configs / name).write_text((ROOT / "configs" / name).read_text())
    (configs / "pipeline.toml").write_text(CONFIG.format(source=source))
    env = {**os.environ, "MMDET_JETSON_ARTIFACTS": str(folder / f"store-{source.name}")}
    began, peak = time.perf_counter(), 0.0
    with subprocess.Popen(
        [INVOKE, "dataset", "--config", str(configs / "pipeline.toml")],
        cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while process.poll() is None:
            peak = max(peak, high_water_mark(process.pid))
            time.sleep(0.02)
    assert process.returncode == 0
    return peak, time.perf_counter() - began


def high_water_mark(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    return 0.0


if __name__ == "__main__":
    main()
