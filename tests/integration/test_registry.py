"""A release in Debian's registry, with TLS and passwords: pushed, copied by others, pulled, shared."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from commands import ROOT, TINY, Commands, new_commands
from registries import Registry, docker_registry, skopeo

from mmdet_jetson.store import Store, is_cache_tag

TARGETS = ("pc-onnxruntime", "pc-whole-picture", "pc-openvino")
# In place of the shipped one in 8 bits: what that costs the demo's training in AP, and so the verdict,
# differs from processor to processor.
WHOLE_PICTURE = """
[pc-whole-picture]
description = "scaled inside the graph"
like = "pc-onnxruntime"
input = "image"
"""
DEMO = (ROOT / "configs/demo.toml").read_text()
STORE = """
[store]
registry = "docker://{registry.host}/{repository}"
ca = "{registry.ca}"
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


def sharing(folder: Path, registry: Registry, repository: str, pipeline: str = DEMO) -> Commands:
    """A clone with an empty store whose configuration names the registry."""
    told = STORE.format(registry=registry, repository=repository)
    made = new_commands(folder, f"{pipeline}\n{told}")
    with (made.config.parent / "targets.toml").open("a") as targets:
        targets.write(WHOLE_PICTURE)
    return replace(made, env={"DOCKER_CONFIG": str(registry.login())})


@dataclass(frozen=True)
class Released:
    """The demo with engines for three targets, bundled and pushed to the repository `demo`."""

    commands: Commands
    registry: Registry
    said: str

    @property
    def store(self) -> Store:
        return Store(self.commands.artifacts)

    def run(self, commands: Commands, *words: str) -> str:
        done = commands.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def elsewhere(self, folder: Path) -> Commands:
        return sharing(folder, self.registry, "demo")


@pytest.fixture(scope="module")
def released(
    demo_run: Commands, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Released:
    commands = sharing(tmp_path_factory.mktemp("released"), registry, "demo")
    shutil.copytree(demo_run.artifacts, commands.artifacts)
    text = commands.config.read_text()
    assert 'targets = ["pc-onnxruntime"]' in text
    text = text.replace('targets = ["pc-onnxruntime"]', f"targets = {json.dumps(TARGETS)}")
    commands.config.write_text(text)
    for words in (["pipeline"], ["bundle"], ["push", "demo.bundle"]):
        done = commands.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    return Released(commands, registry, done.stdout)


def bundle(store: Store) -> str:
    return store.tags()["demo.bundle"].digest


def steps(store: Store) -> dict[str, str]:
    return {tag: each.digest for tag, each in store.tags().items() if tag.startswith("demo.")}


def blobs(store: Path) -> set[str]:
    """The digests of all that lies in a layout, each held against its content."""
    found = {path.name: path.read_bytes() for path in (store / "blobs/sha256").iterdir()}
    for name, content in found.items():
        assert hashlib.sha256(content).hexdigest() == name
    return set(found)


def closure(store: Store, digest: str) -> set[str]:
    """The digests of all that a manifest needs, by its JSON alone."""
    hexadecimal = digest.removeprefix("sha256:")
    content = (store.root / "blobs/sha256" / hexadecimal).read_bytes()
    said = json.loads(content)
    found = {hexadecimal}
    for each in (said.get("config"), said.get("subject"), *said.get("layers", ())):
        if each and "manifest" not in each["mediaType"]:
            found.add(each["digest"].removeprefix("sha256:"))
    for each in (*said.get("manifests", ()), *([said["subject"]] if "subject" in said else [])):
        found |= closure(store, each["digest"])
    return found


def test_a_release_is_pulled_as_it_was_pushed(released: Released, tmp_path: Path) -> None:
    elsewhere = released.elsewhere(tmp_path)
    released.run(elsewhere, "pull", "demo.bundle")
    assert bundle(Store(elsewhere.artifacts)) == bundle(released.store)
    wanted = closure(released.store, bundle(released.store))
    assert blobs(elsewhere.artifacts) == wanted
    shown = json.loads(released.run(elsewhere, "show", "demo.bundle", "--json"))
    assert shown == json.loads(released.run(released.commands, "show", "demo.bundle", "--json"))
    assert all(target in json.dumps(shown) for target in TARGETS)
    assert elsewhere.run("verify").returncode == 0


def test_a_second_push_moves_no_blob(released: Released) -> None:
    before = len(released.registry.asked())
    said = released.run(released.commands, "push", "demo.bundle")
    asked = released.registry.asked()[before:]
    assert not [path for method, path, _ in asked if "/blobs/uploads/" in path]
    assert " 0 of " in said
    assert bundle(released.store) in said


def test_skopeo_copies_it_and_what_skopeo_brings_is_read(
    released: Released, tmp_path: Path
) -> None:
    """As a registry's mirror does, or who carries a folder to a site without a network."""
    registry, there = released.registry, "demo.bundle"
    far = f"docker://{registry.host}/demo:{there}"
    for place in (f"oci:{tmp_path}/folder", f"oci-archive:{tmp_path}/file.tar"):
        copied = skopeo(registry, "copy", "--all", far, f"{place}:{there}")
        assert copied.returncode == 0, copied.stderr
        elsewhere = new_commands(tmp_path / place.partition(":")[0])
        released.run(elsewhere, "pull", there, "--from", place)
        assert bundle(Store(elsewhere.artifacts)) == bundle(released.store)
        assert blobs(elsewhere.artifacts) == closure(released.store, bundle(released.store))


def test_what_skopeo_pushes_is_pulled(released: Released, tmp_path: Path) -> None:
    registry, near = released.registry, f"oci:{released.commands.artifacts}:demo.bundle"
    pushed = skopeo(
        registry, "copy", "--all", near, f"docker://{registry.host}/by-skopeo:demo.bundle"
    )
    assert pushed.returncode == 0, pushed.stderr
    elsewhere = sharing(tmp_path, registry, "by-skopeo")
    released.run(elsewhere, "pull", "demo.bundle")
    assert bundle(Store(elsewhere.artifacts)) == bundle(released.store)
    assert elsewhere.run("verify").returncode == 0


def test_garbage_collection_of_the_registry_takes_nothing_of_it(
    released: Released, tmp_path: Path
) -> None:
    """It frees the children of an index that have no tag of their own: what skopeo pushed, say."""
    store, registry = released.store, released.registry
    orphans = tmp_path / "orphans"
    near = f"oci:{released.commands.artifacts}:demo.bundle"
    assert not skopeo(
        registry, "copy", "--all", near, f"docker://{registry.host}/orphans:x"
    ).returncode
    registry.garbage_collect()
    lost = sharing(orphans, registry, "orphans").run("pull", "x")
    assert lost.returncode == 1  # so it was garbage collected
    assert "Traceback" not in lost.stderr
    assert not Store(orphans / "artifacts").tags()

    elsewhere = released.elsewhere(tmp_path / "elsewhere")
    released.run(elsewhere, "pull", "demo.bundle")
    assert blobs(elsewhere.artifacts) == closure(store, bundle(store))


def test_evidence_goes_with_what_it_is_about(released: Released, tmp_path: Path) -> None:
    """By the registry's fallback for referrers: Debian's knows no other."""
    released.run(released.commands, "push", "demo.engine-pc-openvino")
    for option, kinds in (
        ((), {"engine", "evaluation", "profile", "proof"}),
        (
            ("--no-evidence",),
            {"engine"},
        ),
    ):
        elsewhere = released.elsewhere(tmp_path / str(len(option)))
        released.run(elsewhere, "pull", "demo.engine-pc-openvino", *option)
        found = {each.kind for each in Store(elsewhere.artifacts).artifacts()}
        assert found == kinds if option else found >= kinds


def test_a_second_clone_computes_nothing(released: Released, tmp_path: Path) -> None:
    """All is found under its key and brought over: what is made anew has another time in it."""
    released.run(released.commands, "pipeline", "--push")
    second = released.elsewhere(tmp_path)
    second.config.write_text(released.commands.config.read_text())
    done = second.run("pipeline")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done in" not in done.stdout + done.stderr
    found, made = steps(Store(second.artifacts)), steps(released.store)
    planned = json.loads(second.run("plan", "--json").stdout)["steps"]
    # Whether a long training is worth beginning, nobody asks who does not train.
    names = [step["name"] for step in planned if not step["name"].startswith("check")]
    assert found == {f"demo.{name}": made[f"demo.{name}"] for name in names}
    assert second.run("verify").returncode == 0


def test_two_clones_at_once_end_the_same(registry: Registry, tmp_path: Path) -> None:
    clones = [sharing(tmp_path / name, registry, "twice", TINY) for name in "ab"]
    processes = [clone.start("train", "--push") for clone in clones]
    said = [process.communicate(timeout=1200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    # Whoever finds the other one's training asks no more whether a long one is worth beginning.
    stores = [Store(clone.artifacts) for clone in clones]
    checks = {each.digest for store in stores for each in store.artifacts() if each.kind == "check"}
    tags = [store.tags() for store in stores]
    keys = [
        {tag for tag, named in each.items() if is_cache_tag(tag) and named.digest not in checks}
        for each in tags
    ]
    assert keys[0] == keys[1]
    assert [len({each[tag].digest for each in tags}) for tag in keys[0]] == [1] * len(keys[0])
    third = sharing(tmp_path / "c", registry, "twice", TINY)
    done = third.run("train")
    assert done.returncode == 0, done.stderr
    assert "done in" not in done.stdout + done.stderr
    found = Store(third.artifacts).tags()
    for tag in keys[0] & found.keys():
        assert found[tag].digest in {each[tag].digest for each in tags}
    for clone in (*clones, third):
        assert clone.run("verify").returncode == 0
