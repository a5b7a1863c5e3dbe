"""An engine that remembers what it was asked for, and answers what a test tells it to."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mmdet_jetson.containers.objects import DockerHostError, Image, ImageSummary


def image(reference: str, **changes: Any) -> Image:
    known = {
        "id": f"sha256:{'1' * 64}",
        "architecture": "amd64",
        "layers": (),
        "labels": {},
        "size": 1,
    }
    return Image(reference=reference, **{**known, **changes})


@dataclass
class FakeEngine:
    images: dict[str, Image] = field(default_factory=dict)
    reachable: Iterable[str] = ()
    built: list[dict[str, Any]] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)
    address: str = "fake"
    listed: list[ImageSummary] = field(default_factory=list)
    needed: Iterable[str] = ()

    def find_image(self, reference: str) -> Image | None:
        return self.images.get(reference)

    def list_images(self) -> list[ImageSummary]:
        return self.listed

    def remove_image(self, reference: str) -> None:
        if reference in self.needed:
            raise DockerHostError(f"{reference} is in use")

    def pull(self, reference: str, platform: str, on_line: object) -> Image:
        if reference not in self.reachable:
            raise DockerHostError("no such host")
        self.pulled.append(reference)
        return image(reference)

    def build(self, context: Any, **options: Any) -> Image:
        self.built.append({"context": context, **options})
        self.images[options["tag"]] = image(options["tag"])
        return self.images[options["tag"]]
