"""``configs/promotion.toml``: what a bundle has to show before a channel takes it.

One table a channel. A gate that needs a limit is judged where the policy states one; those that need
none (`parts`, `belonging`, `separation`, `agreement`, `grade`) are always judged.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.toml import Name, Positive, Section
from mmdet_jetson.store import oci

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
AboveZero = Annotated[float, msgspec.Meta(gt=0)]
Grade = Literal["measured", "emulated", "proxy"]
"""Evidence grades, the most demanding first."""


class Accuracy(Section, frozen=True):
    """Every engine against its checkpoint: AP(engine) >= ratio * AP(checkpoint), paired.

    The default is the 99% rule of MLPerf Inference.
    """

    ratio: Fraction = 0.99


class AtScore(Section, frozen=True):
    """Recall and precision of detections from a score on, at an IoU of 0.5."""

    score: Fraction
    recall: Fraction | None = None
    precision: Fraction | None = None


class Figures(Section, frozen=True, rename={"ap": "AP", "ap50": "AP50"}):
    """The least figures of the checkpoint and of every engine, as they were measured."""

    ap: Fraction | None = None
    ap50: Fraction | None = None
    per_class: Mapping[str, Fraction] = {}
    """The least AP, by class."""
    at_score: AtScore | None = None


class Incumbent(Section, frozen=True):
    """The checkpoint against that of the bundle in the channel, on the candidate's pictures.

    The candidate's AP may be lower by ``worse_by`` at most, or has to be higher by ``better_by``;
    both are differences of AP, of which one is stated.
    """

    worse_by: Fraction | None = None
    better_by: Fraction | None = None


class Latency(Section, frozen=True):
    """The longest times of one target's engine, from a file to boxes, in milliseconds."""

    p50: AboveZero | None = None
    p90: AboveZero | None = None
    p99: AboveZero | None = None


class Conditions(Section, frozen=True):
    """What makes a profile no evidence. Judged wherever a latency is.

    Attributes:
        seconds: how long the engine was timed at least; MLPerf's minimum is 600.
        trip_margin: how far below its trip point every temperature stayed, in kelvin.
        drift: the largest change between the first and the last quarter, as a share.
        others: the largest share of CPU time of other processes.
        locked_clocks: whether a Jetson's clocks must be locked.
    """

    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0
    trip_margin: Annotated[float, msgspec.Meta(ge=0)] = 5
    drift: Fraction = 0.1
    others: Fraction = 0.1
    locked_clocks: bool = True


class Policy(Section, frozen=True):
    """The table of one channel.

    Attributes:
        targets: must have an engine in the bundle; those of the bundle count besides.
        evidence: the least grade that evidence of an engine may have.
        max_evidence_days: how old evidence may be; None for any age.
        image_tests: whether every image that made a part has to have passed its tests.
        size_mb: the largest engine in MB, by target.
        memory_mb: the most memory while detecting in MB, by target, where it was measured.
        fixed: gates that nobody may override.
    """

    targets: tuple[Name, ...] = ()
    evidence: Grade = "measured"
    max_evidence_days: Positive | None = None
    image_tests: bool = False
    accuracy: Accuracy | None = None
    figures: Figures | None = None
    incumbent: Incumbent | None = None
    latency: Mapping[Name, Latency] = {}
    conditions: Conditions = Conditions()
    size_mb: Mapping[Name, AboveZero] = {}
    memory_mb: Mapping[Name, AboveZero] = {}
    fixed: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of all that it states, defaults included."""
        return oci.digest_of(oci.canonical_json(msgspec.to_builtins(self)))


def load_policy(path: Path, channel: str) -> Policy:
    """Read the table of a channel.

    Raises:
        ConfigError: the file or the table is missing or wrong; names the file and the field.
    """
    raise NotImplementedError


def channels_in(path: Path) -> list[str]:
    """The channels that the policy file has a table for; none where there is no file."""
    raise NotImplementedError
