"""Untrained detectors that find a lot, and what of it a fused graph finds."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnxruntime
import torch

from mmdet_jetson.stages.backends.onnxruntime import network_of
from mmdet_jetson.stages.inference.detector import FusedDetector
from mmdet_jetson.stages.inference.feeding import Feeding
from mmdet_jetson.stages.inference.preprocessing import Preprocessing, read_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mmengine import Config

    from mmdet_jetson.contract.parameters.export import FusedParameters
    from mmdet_jetson.stages.inference.boxes import Detection

CLASSES = ("balloon", "kite", "plane")
DEPLOY = {"score_threshold": 0.05, "iou_threshold": 0.5, "keep_top_k": 100}
LAST_LAYERS = re.compile(r"bbox_head.*(?:rtm|conv)_(cls|reg|obj)\b")


def enlivened(
    model: torch.nn.Module, pictures: torch.Tensor, random: torch.Generator
) -> torch.nn.Module:
    """Make an untrained model find different things in different places of such pictures.

    Batch norms see them, so that what they let through is neither all 0 nor infinite, and the last
    layers become so uneven that scores differ.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        batch = model.data_preprocessor({"inputs": list(pictures), "data_samples": None})
        model.bbox_head(model.extract_feat(batch["inputs"]))
    for name, values in model.state_dict().items():
        part = LAST_LAYERS.search(name)
        if part:
            drawn = torch.randn(values.shape, generator=random) / values[0].numel() ** 0.5
            values.copy_(drawn * (0.1 if part[1] == "reg" else 0.5))
    return model.eval()


def three_classes(config: Config) -> Config:
    config.model.bbox_head.num_classes = len(CLASSES)
    config.test_dataloader.dataset.metainfo = {"classes": CLASSES}
    return config


def write_photos(folder: Path) -> list[Path]:
    """Pictures of odd sizes and extreme ratios; their sides are whole multiples where scaling is
    exact in any arithmetic, so that the graph's own scaling sees the same pixels."""
    random = np.random.default_rng(0)
    paths = []
    for width, height in ((256, 192), (128, 96), (100, 128), (512, 512)):
        coarse = random.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
        picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
        paths.append(folder / f"{width}x{height}.png")
        cv2.imwrite(str(paths[-1]), picture)
    return paths


def detector(
    graph: bytes, prepared: Preprocessing, fused: FusedParameters, keep: int, candidates: int
) -> FusedDetector:
    """Open a fused graph in this environment's ONNX Runtime."""
    network = network_of(onnxruntime.InferenceSession(graph))
    feeding = Feeding(prepared, fused.input, fused.batch)
    return FusedDetector(CLASSES, feeding, network, None, keep=keep, candidates=candidates)


def rows(found: list[Detection]) -> np.ndarray:
    return np.array([[*each.box, each.score, each.label] for each in found]).reshape(-1, 6)


def nearest(row: np.ndarray, others: np.ndarray) -> float:
    """How far the nearest row of the same class is, in pixels or in hundreds of score."""
    same = others[others[:, 5] == row[5]]
    scale = np.array([1, 1, 1, 1, 100])
    return float((np.abs(same[:, :5] - row[:5]) * scale).max(1).min(initial=np.inf))


def assert_same_detections(
    ours: FusedDetector, theirs: Callable[[Path], list[Detection]], photos: list[Path]
) -> int:
    """Show a graph all photos, as many at a time as it takes; give how many boxes NMS took away."""
    labels, batch, suppressed, count = set(), ours.feeding.batch, 0, 0
    for start in range(0, len(photos), batch):
        paths = photos[start : start + batch]
        pictures = [read_picture(path) for path in paths]
        one = replace(ours.feeding, batch=1)
        fed = zip(*map(one, pictures))
        outputs = ours.network(*map(np.concatenate, fed))
        for number, (path, picture) in enumerate(zip(paths, pictures)):
            own = tuple(values[number : number + 1] for values in outputs)
            assert ours.is_complete(own)
            passing, kept, _ = own[2][0]
            suppressed += passing - kept
            found = rows(ours.postprocess(own, (picture.shape[1], picture.shape[0])))
            expected = rows(theirs(path))
            if len(expected) > ours.keep:
                # YOLOX has no limit in PyTorch, so there its faintest boxes follow.
                expected = expected[: len(found)]
            assert len(found) == len(expected) > 0
            count += len(found)
            labels |= set(expected[:, 5])
            assert max(nearest(row, found) for row in expected) < 0.05
            assert max(nearest(row, expected) for row in found) < 0.05
    assert count > 5 * len(photos)
    assert len(labels) > 1
    return int(suppressed)
