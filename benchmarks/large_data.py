"""Add ten pictures to 20,000: ``invoke dataset`` and ``push`` beside ``dvc add`` and ``dvc push``.

    .venv/bin/python benchmarks/large_data.py [PICTURES [FOLDER]] [--small] [--alone]

Pictures of noise, 100 kB each, with three outlined objects on average in COCO files of two splits,
drawn in FOLDER (a temporary one if none is given), where the next call finds them. Both programs
run in turns on the same files: everything for the first time, then three times ten pictures more of
the training split, then nothing new. Each time is that of the whole commands, their interpreters'
start included. What is stored is what grew in our store and in DVC's cache; what is sent is what
grew in Debian's ``docker-registry``, with TLS and a password on this machine, and in the folder
that is DVC's remote: a folder, so DVC copies files where we speak HTTPS.

The two do not do the same: ``dvc add`` takes files as they are. ``invoke dataset`` decodes each
picture, checks each object, looks for near-duplicates and writes a page. With ``--small`` pictures
have 3 kB, so that 200,000 of them have room on a disk, and with ``--alone`` DVC is left out.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmdet_jetson.config.settings import ROOT

sys.path.insert(0, str(ROOT / "tests/integration"))
from registries import Registry, docker_registry

ADDED, TURNS = 10, 3
SIDES, SMALL = (480, 360), (60, 45)
SHARE = 5  # one picture of so many validates
CONFIG = """
name = "large"
input_size = [640, 640]
targets = ["pc-onnxruntime"]

[dataset]
source = "{source}"
format = "coco"
classes = ["mug", "jug"]
train = {{ pictures = "train", annotations = "train.json" }}
val = {{ pictures = "val", annotations = "val.json" }}

[train]
config = "configs/train/rtmdet_tiny_demo.py"
"""


@dataclass
class Row:
    """What two commands took: seconds, peak memory in MB, and bytes stored and sent."""

    seconds: float
    memory: float
    stored: int
    sent: int


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures", type=int, nargs="?", default=20_000)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--alone", action="store_true")
    arguments = parser.parse_args()
    pictures, sides = arguments.pictures, SMALL if arguments.small else SIDES
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as scratch:
        folder = arguments.folder or Path(scratch)
        draw(folder / "pictures", pictures + TURNS * ADDED, sides)
        with docker_registry(Path(scratch) / "registry") as registry:
            sides_by_side: list[Side] = [Ours(Path(scratch) / "ours", registry)]
            if not arguments.alone:
                sides_by_side.append(Dvc(Path(scratch) / "dvc"))
            print(f"| {pictures:,} pictures | seconds | first | MB stored | MB sent | MB |")
            print("|---|---:|---:|---:|---:|---:|")
            more = [(f"{ADDED} more", pictures + turn * ADDED) for turn in range(1, TURNS + 1)]
            for what, number in [("all of it", pictures), *more, ("nothing new", more[-1][1])]:
                for each in sides_by_side:
                    lay_out(folder / "pictures", each.data, range(number), pictures, sides)
                    os.sync()  # what the last command left to write, the next is not to pay for
                    time.sleep(3)  # as people take: we do not trust a stamp of just now
                    each.turn(what)


class Side:
    """One of the two programs, its files and what they grow to."""

    names = ("", "")
    data: Path

    def __init__(self, stored: Path, sent: Path) -> None:
        self.stored, self.sent = stored, sent

    def turn(self, what: str) -> None:
        """Run both commands, and print a row."""
        before = size_of(self.stored), size_of(self.sent)
        times, peaks = zip(*(measured(*each) for each in self.commands()), strict=True)
        stored, sent = size_of(self.stored) - before[0], size_of(self.sent) - before[1]
        print(
            f"| {what}: {self.names[0]} + {self.names[1]} | {sum(times):.1f} | {times[0]:.1f} | "
            f"{stored / 1e6:,.2f} | {sent / 1e6:,.2f} | {max(peaks):,.0f} |",
            flush=True,
        )

    def commands(self) -> list[tuple[list[str], Path, dict[str, str]]]:
        """Spell both commands, each with its folder and its environment variables."""
        raise NotImplementedError


class Ours(Side):
    """`invoke dataset` and `invoke push`."""

    names = ("`invoke dataset`", "`invoke push`")

    def __init__(self, folder: Path, registry: Registry) -> None:
        super().__init__(folder / "store", registry.folder / "data")
        self.data, self.registry = folder / "data", registry
        self.config = folder / "large.toml"
        folder.mkdir()
        self.config.write_text(CONFIG.format(source=self.data))
        for file in ("images.toml", "sources.toml", "targets.toml"):
            if (ROOT / "configs" / file).exists():
                shutil.copy(ROOT / "configs" / file, folder)

    def commands(self) -> list[tuple[list[str], Path, dict[str, str]]]:
        """Spell both commands, each with its folder and its environment variables."""
        environ = {
            **os.environ,
            "DOCKER_CONFIG": str(self.registry.login()),
            "MMDET_JETSON_ARTIFACTS": str(self.stored),
        }
        invoke = str(Path(sys.executable).with_name("invoke"))
        place = f"docker://{self.registry.host}/bench/large"
        make = [invoke, "dataset", "--config", str(self.config)]
        push = [invoke, "push", "large.dataset", "--to", place, "--ca", str(self.registry.ca)]
        return [(make, ROOT, environ), (push, ROOT, environ)]


class Dvc(Side):
    """DVC in an environment of its own."""

    names = ("`dvc add`", "`dvc push`")

    def __init__(self, folder: Path) -> None:
        project = folder / "project"
        super().__init__(project / ".dvc/cache", folder / "remote")
        project.mkdir(parents=True)
        self.sent.mkdir()
        self.data, self.program = project / "data", str(folder / "venv/bin/dvc")
        uv = [sys.executable, "-m", "uv"]
        python = str(folder / "venv/bin/python")
        lock = str(ROOT / "benchmarks/dvc.lock")
        sync = [*uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", lock]
        for command in (
            [*uv, "venv", "--quiet", str(folder / "venv")],
            sync,
            ["git", "init", "--quiet"],
            [self.program, "init", "--quiet"],
            [self.program, "config", "core.analytics", "false"],
            [self.program, "remote", "add", "--default", "folder", str(self.sent)],
        ):
            subprocess.run(command, cwd=project, check=True, stdout=subprocess.DEVNULL)

    def commands(self) -> list[tuple[list[str], Path, dict[str, str]]]:
        """Spell both commands, each with its folder and its environment variables."""
        project = self.data.parent
        return [
            ([self.program, "add", "--quiet", "data"], project, dict(os.environ)),
            ([self.program, "push", "--quiet"], project, dict(os.environ)),
        ]


def measured(command: list[str], folder: Path, environ: dict[str, str]) -> tuple[float, float]:
    """Seconds of a command, and the peak memory in MB of the largest of its processes.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        if status:
            said.seek(0)
            sys.exit(f"{' '.join(command)}:\n{said.read().decode()[-2000:]}")
    return seconds, used.ru_maxrss / 1000


def draw(folder: Path, number: int, sides: tuple[int, int]) -> None:
    """Draw what is not there yet: noise, which compresses as photographs do and never repeats."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(number):
        path = folder / f"{seed:06d}.jpg"
        if not path.exists():
            rng = np.random.default_rng(seed)
            coarse = rng.integers(0, 256, (sides[1] // 4, sides[0] // 4, 3), np.uint8)
            pixels = cv2.resize(coarse, sides, interpolation=cv2.INTER_CUBIC)
            pixels = cv2.add(pixels, rng.integers(0, 24, pixels.shape, np.uint8))
            cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])


def lay_out(pictures: Path, data: Path, seeds: range, first: int, sides: tuple[int, int]) -> None:
    """Put the first so many pictures into a source folder, those that came later into training."""
    names: dict[str, list[int]] = {"train": [], "val": []}
    for seed in seeds:
        is_val = seed < first and seed % SHARE == 0
        names["val" if is_val else "train"].append(seed)
    for split, listed in names.items():
        (data / split).mkdir(parents=True, exist_ok=True)
        for seed in listed:
            target = data / split / f"{seed:06d}.jpg"
            if not target.exists():
                shutil.copyfile(pictures / target.name, target)
        content = json.dumps(coco(listed, sides))
        if not (data / f"{split}.json").exists() or (data / f"{split}.json").read_text() != content:
            (data / f"{split}.json").write_text(content)


def coco(seeds: list[int], sides: tuple[int, int]) -> dict[str, object]:
    """Annotate pictures with one to five outlines of eight corners each."""
    images: list[object] = []
    annotations: list[object] = []
    for seed in seeds:
        rng = random.Random(seed)
        width, height = sides
        # Whole pixels of a small picture are so few that objects would repeat each other.
        unit = 1 if sides == SIDES else width / SIDES[0]
        images.append(
            {"id": seed, "file_name": f"{seed:06d}.jpg", "width": width, "height": height}
        )
        for _ in range(rng.randint(1, 5)):
            x, y = rng.randint(0, 300) * unit, rng.randint(0, 200) * unit
            side = rng.randint(20, 150) * unit
            cut = side // 3 if sides == SIDES else side / 3
            right, bottom = x + side, y + side
            corners = [(x + cut, y), (right - cut, y), (right, y + cut), (right, bottom - cut)]
            corners += [(right - cut, bottom), (x + cut, bottom), (x, bottom - cut), (x, y + cut)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": seed,
                    "category_id": rng.randint(1, 2),
                    "bbox": [x, y, side, side],
                    "segmentation": [[value for corner in corners for value in corner]],
                    "area": side * side - 2 * cut * cut,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": "mug"}, {"id": 2, "name": "jug"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    walked = os.walk(folder)
    return sum(Path(at, name).lstat().st_size for at, _, names in walked for name in names)


if __name__ == "__main__":
    main()
