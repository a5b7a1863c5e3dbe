"""The gates of a promotion: a module each, listed here in the order in which they judge.

A gate is handed the same `Case` and yields a `Judged` for each subject; the module's name is the
gate's. One whose policy states nothing yields nothing. What is missing is an outcome, never an
error.
"""

from collections.abc import Callable, Iterator, Mapping

from mmdet_jetson.promotion.evidence import Case
from mmdet_jetson.promotion.gates import (
    accuracy,
    age,
    agreement,
    belonging,
    figures,
    grade,
    image_tests,
    incumbent,
    latency,
    memory,
    parts,
    separation,
    size,
)
from mmdet_jetson.promotion.verdicts import Judged

Gate = Callable[[Case], Iterator[Judged]]

GATES: Mapping[str, Gate] = {
    "parts": parts.judge,
    "belonging": belonging.judge,
    "separation": separation.judge,
    "agreement": agreement.judge,
    "accuracy": accuracy.judge,
    "figures": figures.judge,
    "incumbent": incumbent.judge,
    "latency": latency.judge,
    "size": size.judge,
    "memory": memory.judge,
    "image_tests": image_tests.judge,
    "grade": grade.judge,
    "age": age.judge,
}
