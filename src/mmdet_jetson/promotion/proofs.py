"""``proof.json`` as the host side reads it: its sums are added up anew, picture by picture.

The stage `prove` writes it (`stages.proving.proof`); stages are not imported here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from mmdet_jetson.contract.gates import Tolerances

PROVEN = "engine"
Count = Annotated[int, msgspec.Meta(ge=0)]


class Pairs(msgspec.Struct, frozen=True):
    """How detections pair up: `stages.proving.deviation.Deviation` says what each is."""

    matched: Count = 0
    off: Count = 0
    missing: Count = 0
    extra: Count = 0

    @property
    def alone(self) -> float:
        """The share without a partner within the tolerances; 1 where nothing matches."""
        if not self.matched:
            return 1.0
        without = self.off + max(self.missing, self.extra)
        return without / (self.matched + without)


class _Model(msgspec.Struct, frozen=True):
    deviation: Pairs | None = None
    by_picture: Mapping[str, Pairs] = {}


class _Network(msgspec.Struct, frozen=True):
    differences: tuple[str, ...]


class _File(msgspec.Struct, frozen=True):
    target: str
    evidence: str
    tolerances: Tolerances
    pictures: int
    models: Mapping[str, _Model]
    network: _Network | None


@dataclass(frozen=True)
class Proof:
    """What a proof says of an engine.

    ``compared`` are the file names of the pictures, ``pairs`` the detections on all of them.
    ``differences`` are those between the two graphs' networks, as sentences.
    """

    target: str
    evidence: str
    tolerances: Tolerances
    pictures: int
    compared: tuple[str, ...]
    pairs: Pairs
    differences: tuple[str, ...]


def read_proof(content: object) -> Proof:
    """Read what a ``proof.json`` says, which is None where there is no such file.

    Raises:
        ValueError: it is no proof of an engine, or its pictures do not add up.
    """
    try:
        told = msgspec.convert(content, _File)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    model = told.models.get(PROVEN)
    if model is None or model.deviation is None:
        raise ValueError("it compares no engine")
    if model.deviation != _sum(model.by_picture.values()):
        raise ValueError("its pictures do not add up to what it says of all of them")
    return Proof(
        target=told.target,
        evidence=told.evidence,
        tolerances=told.tolerances,
        pictures=told.pictures,
        compared=tuple(model.by_picture),
        pairs=model.deviation,
        differences=told.network.differences if told.network else (),
    )


def _sum(each: Iterable[Pairs]) -> Pairs:
    counted = list(each)
    return Pairs(
        matched=sum(pairs.matched for pairs in counted),
        off=sum(pairs.off for pairs in counted),
        missing=sum(pairs.missing for pairs in counted),
        extra=sum(pairs.extra for pairs in counted),
    )
