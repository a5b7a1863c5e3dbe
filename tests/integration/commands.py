"""`invoke` as a program, with a store and a configuration of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNCONFIGURED = (
    "verify", "gc", "doctor", "checkout", "preflight", "export-for", "show", "--list", "--help",
    "attach", "cancel",
)  # fmt: skip
MIRROR = Path(os.environ.get("MMDET_JETSON_TEST_MIRROR", ROOT.parent / "shared/mirror"))

TINY = """
name = "tiny"
input_size = [64, 64]
targets = ["pc-onnxruntime"]

[dataset]
format = "drawn"
classes = ["ellipse", "rectangle"]
drawn = { train = 8, val = 12, size = [96, 64] }

[train]
config = "configs/train/rtmdet_tiny_demo.py"
epochs = 1
batch_size = 4
workers = 0
device = "cpu"
"""


@dataclass(frozen=True)
class Commands:
    """`invoke` with a store and a configuration of its own."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def unfinished_jobs(self) -> list[str]:
        """The job folders that were not cleared away; the locks beside them stay."""
        return [path.name for path in (self.artifacts / "jobs").iterdir() if path.is_dir()]

    @property
    def config(self) -> Path:
        return self.folder / "configs/pipeline.toml"

    def environ(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        return {
            **os.environ,
            "MMDET_JETSON_ARTIFACTS": str(self.artifacts),
            "COLUMNS": "120",
            **self.env,
            **(extra or {}),
        }

    def command(self, *words: str) -> list[str]:
        """Spell a command; those that read a configuration get ours."""
        configured = words[0] not in UNCONFIGURED
        config = ["--config", str(self.config)] if configured else []
        return [sys.executable, "-m", "invoke", *words, *config]

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command as a process group of its own."""
        return subprocess.Popen(
            self.command(*words),
            cwd=ROOT,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(
        self,
        *words: str,
        env: dict[str, str] | None = None,
        within: Sequence[str] = (),
        timeout: float = 1200,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end; ``within`` is another one that wraps it."""
        return subprocess.run(
            [*within, *self.command(*words)],
            cwd=ROOT,
            env=self.environ(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def new_commands(folder: Path, pipeline: str = TINY) -> Commands:
    """Make a folder with the shipped targets and sources and the given pipeline."""
    configs = folder / "configs"
    configs.mkdir(parents=True)
    for name in ("targets.toml", "sources.toml"):
        shutil.copy(ROOT / "configs" / name, configs)
    (configs / "pipeline.toml").write_text(pipeline)
    return Commands(folder)


@dataclass(frozen=True)
class BalloonRun:
    """The documented case after one epoch, its artifacts checked out."""

    commands: Commands
    output: str
    dataset: Path
    onnx: Path
    engine: Path
    report: Path

    @property
    def val_pictures(self) -> list[Path]:
        return sorted((self.dataset / "val").iterdir())
