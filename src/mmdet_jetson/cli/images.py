"""What ``invoke images.build``, ``images.test`` and ``images.pin`` do."""

from collections.abc import Sequence

from rich.console import Console

from mmdet_jetson.config.references import images_file
from mmdet_jetson.config.settings import read_settings
from mmdet_jetson.containers import images
from mmdet_jetson.containers.docker_host import connect
from mmdet_jetson.containers.image_tests import ensure_tested
from mmdet_jetson.containers.pins import pin_bases
from mmdet_jetson.store import Store


def build(names: Sequence[str], docker_host: str) -> None:
    """Build images where they are missing, and print their names and sizes."""
    settings = read_settings()
    host = connect(docker_host, settings)
    for name in names or images.DEFAULT:
        planned = images.decide(host, name, settings)
        image = images.build(host, planned, settings, _log)
        size = f"{image.size / 1e6:.0f} MB"
        _say(f"image {name}: {image.reference}, {size}{', stand-in base' * image.is_stand_in}")


def test(names: Sequence[str], docker_host: str, *, again: bool) -> None:
    """Run the tests of images inside them, where they have not passed yet; keep the results."""
    settings = read_settings()
    host = connect(docker_host, settings)
    store = Store(settings.artifacts)
    for name in names or images.DEFAULT:
        artifact = ensure_tested(host, name, settings, store, _log, again=again)
        tests = artifact.provenance.metrics["tests"]
        _say(f"image {name}: {tests} tests passed; {artifact.kind} {artifact.digest}")


def pin(docker_host: str) -> None:
    """Resolve the tags of all base images to digests, and write ``images.lock``."""
    settings = read_settings()
    host = connect(docker_host, settings)
    for reference, pin in pin_bases(images_file(settings.root), host).items():
        _say(f"{reference} is {pin.digest}")


def _log(line: str) -> None:
    Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True, style="dim")


def _say(line: str) -> None:
    Console().print(line, highlight=False, markup=False, soft_wrap=True)
