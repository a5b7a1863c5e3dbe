"""`invoke channels`: what is where, and what has drifted, as it is typed."""

import json
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest
import small_releases
from in_process import Commands
from registry_server import RegistryServer
from small_mirrored import SmallChannel, small_channel
from small_releases import PC, SmallRun

from mmdet_jetson.cli import drifting
from mmdet_jetson.config.images import load_images
from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.promotion.records import Override
from mmdet_jetson.promotion.verdicts import Judged
from mmdet_jetson.store import Store

pytestmark = pytest.mark.usefixtures("own_home")
DEMO = ("--config", "configs/demo.toml")
FAILED = (Judged(gate="latency", subject=PC, outcome="fail", sentence="It is slow."),)
DID = Override(
    gate=f"latency:{PC}", outcome="fail", who="Ada <ada@example.com>", because="a\x1b[31m demo"
)


@pytest.fixture
def run(whole_run: SmallRun, tmp_path: Path) -> SmallRun:
    return small_releases.copy_of(whole_run, tmp_path)


@pytest.fixture
def release(run: SmallRun, invoke: Commands, tmp_path: Path) -> SmallChannel:
    """A channel with a bundle of a whole run in it, a gate of which was overridden."""
    assert invoke("bundle", *DEMO, "--name", "v1.2")[0] == 0
    made = SmallChannel(Store(tmp_path / "artifacts"), tmp_path / "channels/staging.toml")
    made.promote("v1.2", FAILED, overrides=(DID,), reason="it \x1b[31m is better")
    return made


def test_what_is_where(release: SmallChannel, invoke: Commands) -> None:
    code, said = invoke("channels")
    assert code == 0
    digest = release.records[0].bundle[7:19]
    assert f"staging: v1.2 ({digest}), since 2026-11-02 10:00 (" in said
    assert "  record 1 of 1, promoted by Ada <ada@example.com>\n" in said
    assert "  why: it ?[31m is better\n" in said
    assert "  verdict: fail, 1 gate was overridden\n" in said
    assert f"  overridden: latency:{PC} (fail) by Ada <ada@example.com>: a?[31m demo\n" in said
    assert f"\n  {PC}   " in said.replace("     ", "   ")
    assert "AP 0.750   p" in said
    assert "held" not in said
    assert "production: nothing has been promoted yet\n" in said
    release.promote("v9")
    release.roll_back(1, reason="it broke")
    said = invoke("channels")[1]
    assert "  record 3 of 3, rolled back to record 1 by Ada <ada@example.com>\n" in said
    assert "  why: it broke\n" in said
    assert "  held by record 3 (rollback of v1.2 by Ada" in said
    assert f"  overridden: latency:{PC} (fail) by Ada" in said  # for ever
    release.release()
    said = invoke("channels")[1]
    assert "held" not in said
    assert "  record 3 of 4, rolled back to record 1" in said


def test_channels_for_programs(release: SmallChannel, invoke: Commands) -> None:
    release.promote("v9")
    release.roll_back(1)
    code, said = invoke("channels", "--json")
    assert code == 0
    told = json.loads(said)
    assert told["drift"] is None
    assert told["flaws"] == []
    staging, production = told["channels"]
    assert (production["channel"], production["bundle"], production["records"]) == (
        "production",
        None,
        0,
    )
    assert staging["bundle"] == release.records[0].bundle
    assert (staging["records"], staging["name"], staging["since"]) == (
        3,
        "v1.2",
        release.records[2].at,
    )
    assert staging["held_by"]["sequence"] == 3
    assert staging["verdict"] == "fail"
    assert staging["overrides"] == [msgspec.to_builtins(DID)]
    assert staging["figures"]["checkpoint"]["AP"] == 0.75
    assert staging["figures"][PC]["p99"] == 3.5
    assert staging["is_here"] is True


# What has drifted.


@pytest.fixture
def images(
    server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RegistryServer:
    """Base images that are pinned to what a registry of here has."""
    store = small_channel(tmp_path / "bases", "old", "new").store
    pinned = store.bundle("old")
    assert pinned
    images = load_images(ROOT / "configs/images.toml")
    reference = f"{server.address}/team/base:22.04"
    text = (ROOT / "configs/images.toml").read_text()
    for name in images.references():
        text = text.replace(f'"{name}"', f'"{reference}"')
    project = tmp_path / "project"
    (project / "configs").mkdir(parents=True)
    (project / "docker").symlink_to(ROOT / "docker")
    (project / "configs/images.toml").write_text(text)
    lock = {reference: {"digest": pinned.digest, "resolved": "2026-01-02"}}
    (project / "configs/images.lock").write_text(json.dumps(lock))
    monkeypatch.setattr(drifting, "images_file", lambda _: project / "configs/images.toml")
    server.repository("team/base").manifests[pinned.digest] = ("", b"")
    with_manifest(server, store, "old")
    with_manifest(server, store, "new")
    server.repository("team/base").tags["22.04"] = pinned.digest
    return server


def with_manifest(server: RegistryServer, store: Store, name: str) -> None:
    bundle = store.bundle(name)
    assert bundle
    content = (store.root / "blobs/sha256" / bundle.digest[7:]).read_bytes()
    kind = "application/vnd.oci.image.index.v1+json"
    server.repository("team/base").manifests[bundle.digest] = (kind, content)


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    """The day after all evidence was made."""

    class Today(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2026, 11, 3, tzinfo=timezone.utc)

    monkeypatch.setattr(drifting, "datetime", Today)


@pytest.mark.usefixtures("today")
def test_nothing_has_drifted(
    release: SmallChannel, images: RegistryServer, invoke: Commands
) -> None:
    code, said = invoke("channels", "--check")
    assert (code, said.splitlines()[-1]) == (0, "nothing has drifted"), said
    assert json.loads(invoke("channels", "--check", "--json")[1])["drift"] == []


@pytest.mark.usefixtures("today")
def test_that_no_base_was_looked_at_is_said(
    release: SmallChannel,
    images: RegistryServer,
    invoke: Commands,
    tmp_path: Path,
) -> None:
    assert "no base image is pinned" not in invoke("channels", "--check")[1]
    (tmp_path / "project/configs/images.lock").unlink()
    code, said = invoke("channels", "--check")
    assert code == 0
    assert "note: no base image is pinned, so none was looked at: invoke images.pin" in said


@pytest.mark.usefixtures("today")
def test_a_base_that_moved(release: SmallChannel, images: RegistryServer, invoke: Commands) -> None:
    tags = images.repository("team/base").tags
    digests = list(images.repository("team/base").manifests)
    old = tags["22.04"]
    tags["22.04"] = next(each for each in digests if each != old)
    code, said = invoke("channels", "--check")
    assert code == 3
    assert (
        f"drift: {images.address}/team/base:22.04: it is {tags['22.04'][7:19]} now, and was "
        in said
    )
    assert f"{old[7:19]} when it was pinned on 2026-01-02" in said
    assert "invoke images.pin" in said
    del tags["22.04"]
    code, said = invoke("channels", "--check")
    assert (code, "it is not there any more" in said) == (3, True), said


@pytest.mark.usefixtures("today")
def test_a_registry_of_bases_that_refuses(
    release: SmallChannel, images: RegistryServer, invoke: Commands
) -> None:
    images.auth = "basic"
    code, said = invoke("channels", "--check")
    assert code == 4
    assert "not known: " in said
    assert "its registry was not asked: " in said


@pytest.mark.usefixtures("images")
def test_evidence_that_grew_old(release: SmallChannel, invoke: Commands, tmp_path: Path) -> None:
    config = tmp_path / "configs"
    config.mkdir()
    for name in ("demo.toml", "targets.toml", "sources.toml"):
        (config / name).write_text((ROOT / "configs" / name).read_text())
    (config / "promotion.toml").write_text("[staging]\nmax_evidence_days = 1\n")
    words = ("channels", "--check", "--config", str(config / "demo.toml"))
    code, said = invoke(*words)
    assert code == 3
    assert "drift: staging: The oldest evidence, " in said
    assert "1 days are allowed, until 2026-11-02." in said
    assert f"`invoke profile --again --config {config}/demo.toml`" in said
    (config / "promotion.toml").write_text("[other]\nmax_evidence_days = 1\n")
    code, said = invoke(*words)
    assert (code, "not known: staging: " in said) == (4, True), said
    assert "there is no table [staging]" in said
    assert "where its policy lies beside another pipeline's configuration: --config" in said


@pytest.mark.usefixtures("images", "today")
def test_what_is_not_here_may_be_old(
    release: SmallChannel, invoke: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "empty"))
    code, said = invoke("channels", "--check")
    assert code == 4
    assert "not known: staging: its bundle is not here" in said
    assert "try: invoke pull channel-staging" in said


@pytest.mark.usefixtures("today")
def test_a_mirror_that_forked_or_cannot_be_asked(
    release: SmallChannel, images: RegistryServer, invoke: Commands, tmp_path: Path
) -> None:
    place = images.place("team/mugs")
    configured = ("channels", "--check", *DEMO, "--set", f"store.registry={place}")
    assert invoke(*configured)[0] == 0  # it is behind
    assert invoke("push", "channel-staging", "--to", place)[0] == 0
    assert invoke(*configured)[0] == 0
    stranger = release.bundle("stranger")
    images.repository("team/mugs").tags["channel-staging-1"] = stranger.digest
    with_manifest_of(images, release.store, stranger.digest)
    code, said = invoke(*configured)
    assert code == 3
    assert f"drift: staging: {place} has forked: channel-staging-1 is bundle" in said
    code, said = invoke("channels", "--mirror", place)
    assert (code, "has forked" in said) == (3, True), said
    code, said = invoke("channels", "--check", "--mirror", f"oci:{tmp_path}/none")
    assert (code, "it cannot be asked: there is no OCI layout" in said) == (4, True), said
    nobody = "docker://127.0.0.1:9/mugs"
    code, said = invoke("channels", "--check", "--mirror", nobody)
    assert (code, f"not known: {nobody}: it cannot be reached: " in said) == (4, True), said


def with_manifest_of(server: RegistryServer, store: Store, digest: str) -> None:
    content = (store.root / "blobs/sha256" / digest[7:]).read_bytes()
    kind = "application/vnd.oci.image.index.v1+json"
    server.repository("team/mugs").manifests[digest] = (kind, content)


def test_offline_nothing_is_asked(
    release: SmallChannel, images: RegistryServer, invoke: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMDET_JETSON_OFFLINE", "1")
    configured = ("--set", f"store.registry={images.place('team/mugs')}")
    code, said = invoke("channels", "--check", *DEMO, *configured)
    assert "note: MMDET_JETSON_OFFLINE is 1, so no registry is asked" in said
    assert images.asked == []
    assert code == 0, said
    # A folder is no registry.
    place = f"oci:{release.store.root.parent}/mirror"
    assert invoke("push", "channel-staging", "--to", place)[0] == 0
    assert invoke("channels", "--check", "--mirror", place)[0] == 0
    code, said = invoke("channels", "--mirror", *DEMO, *configured)
    assert (code, "MMDET_JETSON_OFFLINE is 1" in said) == (4, True), said
    assert images.asked == []


def test_without_a_channel_nothing_is_said_of_one(
    run: SmallRun, invoke: Commands, tmp_path: Path
) -> None:
    assert "channel" not in invoke("verify")[1]
    assert "there is no channel here to compare" in invoke("verify", "--mirror", "oci:x")[1]
    code, said = invoke("channels", "--config", str(tmp_path / "none.toml"))
    assert (code, said.startswith("there is no channel yet: `invoke promote")) == (0, True), said
    assert invoke("channels")[1] == (
        "staging: nothing has been promoted yet\nproduction: nothing has been promoted yet\n"
    )
