"""``configs/promotion.toml``: what a bundle has to show before a channel takes it.

One table a channel. A gate that needs a limit is judged where the policy states one; those that
need none (`parts`, `belonging`, `separation`, `agreement`, `grade`) are always judged.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mmdet_jetson.config.toml import (
    Name,
    Section,
    check_choice,
    convert,
    flatten,
    nearest,
    read_toml,
)
from mmdet_jetson.contract.gates import DEFAULT_TOLERANCES, Tolerances
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.store import oci

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
AboveZero = Annotated[float, msgspec.Meta(gt=0)]
Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]
"""A century at the most: calendars end."""
Grade = Literal["measured", "emulated", "proxy"]
"""Evidence grades, the most demanding first: on the target itself, its code on another machine, and
in an image on a base that stands in for the real one."""
POLICY_FILE = "promotion.toml"
"""Its name, beside the pipeline's configuration."""
TARGETS_FILE = "targets.toml"
"""What names the targets, beside both."""
WRITE_ONE = "write one, as configs/promotion.toml of the project is"
GATE_NAMES = (
    "parts", "belonging", "separation", "agreement", "accuracy", "figures", "incumbent", "latency",
    "size", "memory", "image_tests", "grade", "age",
)  # fmt: skip
"""All gates, in the order in which they judge (`promotion.gates`)."""
NEVER_OVERRIDDEN = frozenset({"parts", "belonging"})
"""Gates that nobody may override, whatever a policy says: without them the others judge nothing."""


class Accuracy(Section, frozen=True):
    """Every engine against its checkpoint: AP(engine) >= ratio * AP(checkpoint), paired.

    The default is the 99% rule of MLPerf Inference.
    """

    ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.99


class Agreement(Section, frozen=True):
    """How far an engine's detections may be from PyTorch's: see `contract.gates.Tolerances`.

    What is not stated is the default of the engine's precision. A proof that was made with wider
    tolerances than these is no evidence.
    """

    from_score: Fraction | None = None
    box: Fraction | None = None
    score: Fraction | None = None
    alone: Fraction | None = None


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

    seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    trip_margin: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    drift: Fraction = 0.1
    others: Fraction = 0.1
    locked_clocks: bool = True


class Policy(Section, frozen=True):
    """The table of one channel.

    Attributes:
        targets: must have an engine in the bundle; those of the bundle count besides.
        evidence: the least grade that evidence of an engine may have.
        max_evidence_days: how old evidence may be; None for any age.
        agreement: what replaces the tolerances of a proof, by the precision of an engine.
        image_tests: whether every image that made a part has to have passed its tests.
        size_mb: the largest engine in MB, by target.
        memory_mb: the most memory while detecting in MB, by target, where it was measured.
        fixed: gates that nobody may override.
    """

    targets: tuple[Name, ...] = ()
    evidence: Grade = "measured"
    max_evidence_days: Days | None = None
    image_tests: bool = False
    agreement: Mapping[str, Agreement] = {}
    accuracy: Accuracy | None = None
    figures: Figures | None = None
    incumbent: Incumbent | None = None
    latency: Mapping[Name, Latency] = {}
    conditions: Conditions = Conditions()
    size_mb: Mapping[Name, AboveZero] = {}
    memory_mb: Mapping[Name, AboveZero] = {}
    fixed: tuple[str, ...] = ()

    def tolerances(self, precision: str) -> Tolerances | None:
        """What a proof of an engine may allow; None for a precision that is not known."""
        if precision not in DEFAULT_TOLERANCES:
            return None
        stated = msgspec.structs.asdict(self.agreement.get(precision, Agreement()))
        changes = {name: value for name, value in stated.items() if value is not None}
        return replace(DEFAULT_TOLERANCES[precision], **changes)

    @property
    def digest(self) -> str:
        """The digest of all that it states, defaults included."""
        return oci.digest_of(oci.canonical_json(msgspec.to_builtins(self)))


def load_policy(path: Path, channel: str) -> Policy:
    """Read the table of a channel.

    Raises:
        ConfigError: the file or the table is missing or wrong; names the file and the field.
    """
    tables = read_toml(path, f"{WRITE_ONE}: [{channel}] with what a bundle has to show")
    table = tables.get(channel)
    if table is None:
        known = ", ".join(channels_in(path)) or "none yet"
        raise ConfigError(
            f"{path}: there is no table [{channel}], so nothing says what that channel takes",
            f"add [{channel}] with what a bundle has to show; channels with one: {known}",
        )
    convert(channel, Name, path, "the name of a channel")
    _refuse_endless(table, path, channel)
    policy = convert(table, Policy, path, channel)
    _check(policy, path, channel)
    _check_targets(policy, path, channel)
    return policy


def channels_in(path: Path) -> list[str]:
    """The channels that the policy file has a table for; none where there is no file.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not path.exists():
        return []
    return [name for name, table in read_toml(path).items() if isinstance(table, dict)]


def _refuse_endless(table: object, path: Path, channel: str) -> None:
    """Refuse the numbers that TOML has and no measurement can be held against.

    Raises:
        ConfigError: names the file and the field.
    """
    for field, value in flatten(table if isinstance(table, dict) else {}).items():
        if isinstance(value, float) and not isfinite(value):
            raise ConfigError(f"{path}: {channel}.{field}: {value} is no limit", "leave it out")


def _check(policy: Policy, path: Path, channel: str) -> None:
    """Refuse what types allow and nobody can have meant: a table that demands nothing.

    Raises:
        ConfigError: names the file and the field.
    """
    figures, incumbent = policy.figures, policy.incumbent
    empty: dict[str, tuple[bool, str]] = {
        "incumbent": (
            incumbent is not None and incumbent.worse_by is incumbent.better_by is None,
            "set worse_by, or better_by, and not both",
        ),
        "figures": (
            figures is not None and figures == Figures(),
            "set AP, AP50, per_class or at_score",
        ),
        "figures.at_score": (
            figures is not None
            and figures.at_score is not None
            and figures.at_score.recall is figures.at_score.precision is None,
            "set recall, precision or both",
        ),
        **{
            f"latency.{target}": (budget == Latency(), "set p50, p90 or p99, in milliseconds")
            for target, budget in policy.latency.items()
        },
        **{
            f"agreement.{precision}": (stated == Agreement(), "set from_score, box, score or alone")
            for precision, stated in policy.agreement.items()
        },
    }
    for field, (is_wrong, hint) in empty.items():
        if is_wrong:
            raise ConfigError(f"{path}: {channel}.{field} does not say what it demands", hint)
    if incumbent and None not in (incumbent.worse_by, incumbent.better_by):
        raise ConfigError(
            f"{path}: {channel}.incumbent has both worse_by and better_by, and one is to be stated",
            "leave out worse_by, or better_by",
        )
    for precision in policy.agreement:
        check_choice(f"{path}: {channel}.agreement", precision, tuple(DEFAULT_TOLERANCES))
    for gate in policy.fixed:
        check_choice(f"{path}: {channel}.fixed", gate, GATE_NAMES)


def _check_targets(policy: Policy, path: Path, channel: str) -> None:
    """Refuse a target that no file of targets beside the policy has.

    Raises:
        ConfigError: names the field, and the nearest that there is.
    """
    beside = path.parent / TARGETS_FILE
    if not beside.exists():
        return
    known = list(read_toml(beside))
    for field in ("targets", "latency", "size_mb", "memory_mb"):
        for target in getattr(policy, field):
            if target not in known:
                raise ConfigError(
                    f"{path}: {channel}.{field}: {beside.name} beside it has no target {target!r}",
                    nearest(target, known),
                )
