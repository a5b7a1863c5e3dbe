"""``separation``: nothing that judges has been learned from.

Pictures are compared by the SHA-256 of their files. The stage `engine` compares what calibration
pictures show, and refuses to build; here nothing is decoded, so that this is asked anew of engines
from anywhere.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import Annotated

import msgspec

from mmdet_jetson.bundles.contents import CHECKPOINT, DATASET, ENGINE
from mmdet_jetson.bundles.datasets import digests_of
from mmdet_jetson.bundles.trainings import is_taken
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE
from mmdet_jetson.promotion.evidence import Case, Unusable
from mmdet_jetson.promotion.verdicts import Judged

NAME = "separation"


class _Calibration(msgspec.Struct, frozen=True):
    split: str
    pictures: Annotated[int, msgspec.Meta(ge=1)]


class _Passport(msgspec.Struct, frozen=True):
    """Of ``passport.json`` what tells of calibration."""

    precision: str
    calibration: _Calibration | None = None


class _Picture(msgspec.Struct, frozen=True):
    file_name: str


class _Annotated(msgspec.Struct, frozen=True):
    """Of a COCO file which pictures it is about."""

    images: tuple[_Picture, ...]


class _Pictures:
    """The SHA-256 of the pictures of each split, read once for all subjects."""

    def __init__(self, case: Case) -> None:
        self._case = case

    @cached_property
    def splits(self) -> Mapping[str, Mapping[str, str]]:
        found = digests_of(self._case.contents.store, self._case.part(DATASET))
        for split in ("train", "val"):
            names = self._annotated(split)
            if not names or not found.get(split):
                raise Unusable(
                    INCONCLUSIVE, "The dataset does not say which pictures its splits have."
                )
            # Of a picture without a digest nobody knows whether it is in both.
            if missing := [name for name in names if name not in found[split]]:
                raise Unusable(
                    INCONCLUSIVE,
                    f"The dataset does not say what its {split} picture {missing[0]} is.",
                )
        return found

    def _annotated(self, split: str) -> list[str]:
        dataset, title = self._case.part(DATASET), f"{split}.json"
        if title not in dataset.titles:
            return []
        try:
            content = self._case.contents.store.read(dataset, title)
            told = msgspec.json.decode(content, type=_Annotated)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unusable(FAIL, f"{title} of the dataset cannot be read: {error}.") from error
        return [each.file_name for each in told.images]

    @cached_property
    def shared(self) -> dict[str, str]:
        """Training pictures that are validation pictures, too, and what they are called there."""
        names = {digest: name for name, digest in self.splits["val"].items()}
        train = self.splits["train"].items()
        return {name: names[digest] for name, digest in train if digest in names}


def judge(case: Case) -> Iterator[Judged]:
    """Judge the training, and each engine that was calibrated."""
    pictures = _Pictures(case)
    yield case.judged(NAME, "", partial(_training, case, pictures))
    for target in case.contents.targets:
        said = case.judged(NAME, target, partial(_calibration, case, pictures, target))
        if said.sentence:
            yield said


def _training(case: Case, pictures: _Pictures) -> Judged:
    if is_taken(case.part(CHECKPOINT)):
        raise Unusable(
            INCONCLUSIVE,
            "The model was trained elsewhere: which pictures it has learned from, and whether one "
            "of them judges, is not known here; whoever knows overrides this gate with the reason.",
        )
    counted = {split: len(digests) for split, digests in pictures.splits.items()}
    for trained, judged in pictures.shared.items():
        more = f" ({len(pictures.shared) - 1} more)" if len(pictures.shared) > 1 else ""
        return _fails(
            f"The training picture {trained} is the validation picture {judged}{more}, so figures "
            "are better than they should be."
        )
    return case.passed(
        NAME,
        f"None of {counted['train']} training pictures is one of the {counted['val']} that judge.",
    )


def _calibration(case: Case, pictures: _Pictures, target: str) -> Judged:
    passport = _passport(case, target)
    calibration = passport.calibration
    if calibration is None and passport.precision != "int8":
        return case.passed(NAME, "")  # nothing to be said
    if calibration is None:
        raise Unusable(
            INCONCLUSIVE, f"The engine for {target} does not say what calibrated its 8 bits."
        )
    if calibration.split != "train":
        return _fails(
            f"The engine for {target} was calibrated with pictures of the split "
            f"{calibration.split!r}, and only training pictures may."
        )
    for name in _chosen(sorted(pictures.splits["train"]), calibration.pictures):
        if name in pictures.shared:
            return _fails(
                f"The engine for {target} was calibrated with {name}, which is the validation "
                f"picture {pictures.shared[name]}."
            )
    return case.passed(
        NAME, f"None of its {calibration.pictures} calibration pictures is one of those that judge."
    )


def _passport(case: Case, target: str) -> _Passport:
    content = case.contents.document(case.part(ENGINE, target), "passport.json")
    try:
        return msgspec.convert(content, _Passport)
    except msgspec.ValidationError as error:
        raise Unusable(
            FAIL, f"passport.json of the engine for {target} cannot be read: {error}."
        ) from error


def _chosen(names: list[str], count: int) -> list[str]:
    """The pictures that calibrate, as `stages.building.calibration` takes them."""
    count = min(count, len(names))
    return [names[index * len(names) // count] for index in range(count)]


def _fails(sentence: str) -> Judged:
    return Judged(gate=NAME, outcome=FAIL, sentence=sentence)
