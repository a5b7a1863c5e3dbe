"""A registry that answers what is wrong: one sentence, nothing stored, and no secret goes elsewhere."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT
from registry_faults import body, changed, cut_answer, drip, endless, header, redirect
from registry_server import PASSWORD, USER, Answer, Fault, Handler, RegistryServer
from small_artifacts import PROVENANCE

from mmdet_jetson.store import Store
from mmdet_jetson.store.oci import INDEX, MANIFEST, digest_of

REPOSITORY = "team/mugs"
MANIFESTS, BLOBS, UPLOADS = "/manifests/", "/blobs/sha256:", "/blobs/uploads/"
ALWAYS = 99
# Waits a fraction of what a user's network is given, so that it ends in seconds.
IMPATIENT = """
import sys
from mmdet_jetson.registry.connections import Patience
Patience.__init__.__defaults__ = (3, 3, 1, 1024, 3, 0.01, 0.02)
from invoke.main import program
program.run(["invoke", *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Site:
    """A registry that has a run of one engine, another host beside it, and a store elsewhere."""

    folder: Path
    server: RegistryServer
    other: RegistryServer

    @property
    def target(self) -> Store:
        return Store(self.folder / "target")

    def run(self, way: str, name: str = "mugs") -> "subprocess.CompletedProcess[str]":
        login = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
        (self.folder / "config.json").write_text(
            json.dumps({"auths": {self.server.address: login}})
        )
        store = self.folder / ("source" if way == "push" else "target")
        ends = {"push": "--to", "pull": "--from"}
        return subprocess.run(
            [sys.executable, "-c", IMPATIENT, way, name, ends[way], self.server.place(REPOSITORY)],
            cwd=ROOT,
            env={
                **os.environ,
                "MMDET_JETSON_ARTIFACTS": str(store),
                "MMDET_JETSON_CACHE": str(self.folder / "cache"),
                "DOCKER_CONFIG": str(self.folder),
            },
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of one engine."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "files").mkdir()
    (folder / "files/engine.onnx").write_bytes(os.urandom(200_000))
    Store(folder / "source").put("engine", folder / "files", PROVENANCE, ["mugs.engine"])
    return folder / "source"


@pytest.fixture
def site(filled: Path, tmp_path: Path) -> Iterator[Site]:
    shutil.copytree(filled, tmp_path / "source")
    with RegistryServer(auth="basic") as server, RegistryServer() as other:
        yield Site(tmp_path, server, other)


def engine(site: Site) -> dict[str, Any]:
    """The manifest that a tag names in the registry."""
    repository = site.server.repositories[REPOSITORY]
    found: dict[str, Any] = json.loads(repository.manifests[repository.tags["mugs.engine"]][1])
    return found


def put(site: Site, value: object, kind: str = MANIFEST) -> None:
    """Let the tag name another manifest."""
    content = json.dumps(value).encode()
    repository = site.server.repositories[REPOSITORY]
    repository.manifests[digest_of(content)] = (kind, content)
    repository.tags["mugs.engine"] = digest_of(content)


def wrong_content(site: Site) -> None:
    blobs = site.server.repositories[REPOSITORY].blobs
    for digest, content in blobs.items():
        blobs[digest] = bytes(len(content))


def always(method: str, path: str, fault: Fault) -> Callable[[Site], None]:
    return lambda site: site.server.spoil(method, path, fault, ALWAYS)


def outside(site: Site) -> None:
    manifest = engine(site)
    manifest["layers"][0]["urls"] = [f"http://{site.other.address}/engine.onnx"]
    put(site, manifest)


def of_another_repository(site: Site) -> None:
    manifest = engine(site)
    content = b"of others"
    site.server.repository("team/secrets").blobs[digest_of(content)] = content
    manifest["layers"][0] |= {"digest": digest_of(content), "size": len(content)}
    put(site, manifest)


def elsewhere(site: Site) -> None:
    target = f"http://localhost:{site.other.server_port}/stolen"
    site.server.spoil("GET", BLOBS, redirect(target), ALWAYS)


def moving(site: Site) -> None:
    """The tag names another manifest each time that it was read."""
    manifest = engine(site)

    def move(answer: Answer) -> None:
        put(site, {**manifest, "annotations": {"moved": str(len(site.server.asked))}})

    site.server.spoil("GET", f"{MANIFESTS}mugs.engine", changed(move), ALWAYS)
    site.server.spoil("HEAD", f"{MANIFESTS}mugs.engine", changed(move), ALWAYS)


def containing_itself(site: Site) -> None:
    """As near as SHA-256 lets one come: the answer for a digest is an index of that digest."""
    digest = site.server.repositories[REPOSITORY].tags["mugs.engine"]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    entry = {"mediaType": INDEX, "digest": digest, "size": 500}
    content = json.dumps({**index, "manifests": [entry]}).encode()
    content += b" " * (500 - len(content))

    def answer(handler: Handler) -> None:
        headers = {"Content-Type": INDEX, "Docker-Content-Digest": digest}
        handler.send(Answer(200, headers, content))

    site.server.spoil("GET", MANIFESTS, answer, ALWAYS)
    site.server.spoil("HEAD", MANIFESTS, answer, ALWAYS)


STOLEN = {"redirect-to-another-host": ["/stolen"]}
"""What the other host is asked: a redirect is followed, as those to a registry's storage are."""

PULLS: dict[str, Callable[[Site], None]] = {
    "wrong-content": wrong_content,
    "wrong-digest-of-a-manifest": always("GET", MANIFESTS, body(b'{"schemaVersion":2}')),
    "short-body": always("GET", BLOBS, cut_answer(100)),
    "endless-body": always("GET", BLOBS, endless),
    "endless-manifest": always("GET", MANIFESTS, endless),
    "blob-outside": outside,
    "blob-of-another-repository": of_another_repository,
    "redirect-to-another-host": elsewhere,
    "slow-drip": always("GET", BLOBS, drip(0.2)),
    "slow-drip-of-headers": always("GET", MANIFESTS, drip(0.2, in_headers=True)),
    "5-mb-of-json": always("GET", MANIFESTS, changed(lambda a: Answer(a.status, {k: v for k, v in a.headers.items() if k == "Content-Type"}, b"[" * (5 << 20)))),
    "nested-json": always("GET", MANIFESTS, changed(lambda a: Answer(a.status, {k: v for k, v in a.headers.items() if k == "Content-Type"}, b"[" * (3 << 20)))),
    "index-of-itself": containing_itself,
    "web-page": always("GET", MANIFESTS, changed(lambda _: Answer(200, {"Content-Type": "text/html"}, b"<html>"))),
}  # fmt: skip


@pytest.mark.parametrize("case", PULLS)
def test_what_is_wrong_is_not_stored(site: Site, case: str) -> None:
    assert site.run("push").returncode == 0
    PULLS[case](site)
    refused_in_a_sentence(site.run("pull"))
    assert not site.target.tags()
    assert site.target.verify().problems == ()
    assert [asked.path for asked in site.other.asked] == STOLEN.get(case, [])
    assert_no_secret_went(site)


def test_a_tag_that_moves_meanwhile_is_what_was_read_first(site: Site) -> None:
    """Two manifests are never mixed."""
    assert site.run("push").returncode == 0
    first = site.server.repositories[REPOSITORY].tags["mugs.engine"]
    moving(site)
    done = site.run("pull")
    assert done.returncode == 0, done.stderr
    assert site.server.repositories[REPOSITORY].tags["mugs.engine"] != first
    assert site.target.tags()["mugs.engine"].digest == first
    assert site.target.verify().problems == ()


PUSHES: dict[str, Callable[[Site], None]] = {
    "upload-at-another-host": lambda site: site.server.spoil(
        "POST", UPLOADS, header("Location", f"http://localhost:{site.other.server_port}/v2/x"), ALWAYS
    ),
    "manifest-under-another-digest": always(
        "PUT", MANIFESTS, header("Docker-Content-Digest", f"sha256:{'0' * 64}")
    ),
    "redirected-upload": lambda site: site.server.spoil(
        "POST", UPLOADS, redirect(f"http://localhost:{site.other.server_port}/v2/x"), ALWAYS
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PUSHES)
def test_nothing_goes_to_who_answers_wrongly(site: Site, case: str) -> None:
    PUSHES[case](site)
    refused_in_a_sentence(site.run("push"))
    assert Store(site.folder / "source").verify().problems == ()
    assert_no_secret_went(site)
    assert not [asked for asked in site.other.asked if asked.size]


def refused_in_a_sentence(done: "subprocess.CompletedProcess[str]") -> None:
    print(done.stderr)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "who is there" not in done.stderr  # the login is right
    assert len(done.stderr.strip().splitlines()) <= 2  # what is wrong, and what to try
    assert PASSWORD not in done.stdout + done.stderr


def assert_no_secret_went(site: Site) -> None:
    for asked in site.other.asked:
        assert "Authorization" not in asked.headers
