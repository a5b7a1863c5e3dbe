"""``image_tests``: every image that a part was made in has passed its own tests."""

from collections.abc import Iterator
from functools import partial

from mmdet_jetson.bundles.contents import IMAGE_TESTS, PartName
from mmdet_jetson.contract.report import FAIL, INCONCLUSIVE
from mmdet_jetson.promotion.evidence import Case, Unusable
from mmdet_jetson.promotion.verdicts import Judged
from mmdet_jetson.store import Artifact

NAME = "image_tests"


def judge(case: Case) -> Iterator[Judged]:
    """Judge the images of a bundle together, where the policy asks."""
    if case.policy.image_tests:
        yield case.judged(NAME, "", partial(_judge, case))


def _judge(case: Case) -> Judged:
    used = _used(case)
    if not used:
        return case.passed(NAME, "No part was made in an image.")
    tested: dict[str, list[Artifact]] = {}
    for each in case.contents.of_kind(IMAGE_TESTS).values():
        tested.setdefault(each.provenance.inputs.get("image", ""), []).append(each)
    for image, part in used.items():
        if image not in tested:
            raise Unusable(
                INCONCLUSIVE,
                f"Image {image[7:19]}, which {case.contents.title(part)} was made in, has no tests "
                "in the bundle: invoke images.test, and bundle again.",
            )
        for tests in tested[image]:
            _refuse_failed(tests, image)
    return case.passed(NAME, f"All {len(used)} images that parts were made in passed their tests.")


def _used(case: Case) -> dict[str, PartName]:
    """The digests of the images that parts were made in, each with one of these parts."""
    used: dict[str, PartName] = {}
    for part, artifact in case.contents.parts.items():
        image = artifact.provenance.facts.get("image_digest")
        if isinstance(image, str) and image:
            used.setdefault(image, part)
    return used


def _refuse_failed(tests: Artifact, image: str) -> None:
    """Refuse tests of which one failed, and those that do not say that there were any."""
    counts = tests.provenance.metrics
    ran, failed = counts.get("tests"), counts.get("failed")
    if type(ran) is not int or ran < 1 or type(failed) is not int:
        raise Unusable(FAIL, f"The tests of image {image[7:19]} do not say how many ran.")
    if failed != 0:
        first = " ".join(str(tests.provenance.facts.get("first_failure") or "").split())
        raise Unusable(
            FAIL,
            f"Image {image[7:19]} failed {failed} of its {ran} tests"
            + (f"; the first: {first}." if first else "."),
        )
