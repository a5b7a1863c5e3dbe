import json
import os
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
from fakes import FakeRuntime, Quiet, dataset_step, everywhere
from folder_docker_host import FolderDockerHost
from in_process import Commands, commands_of
from msgspec.structs import replace as replace_struct
from small_artifacts import add_blob

from mmdet_jetson.cli import doctor, summary, upkeep
from mmdet_jetson.cli.findings import Finding
from mmdet_jetson.config.settings import ROOT, read_settings
from mmdet_jetson.containers import image_tests, workspace
from mmdet_jetson.containers.objects import ContainerSpec, VolumeMount
from mmdet_jetson.planning import stages
from mmdet_jetson.planning.explain import State, states
from mmdet_jetson.running.jobs import DAYS_KEPT
from mmdet_jetson.running.run_step import RunContext, ingredients_on
from mmdet_jetson.running.run_steps import run_steps
from mmdet_jetson.store import Provenance, Store, cache_tag, is_cache_tag
from mmdet_jetson.store.layout import Layout
from mmdet_jetson.store.oci import canonical_json, digest_of


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with one artifact, ``mugs.dataset``."""
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "artifacts"))
    store = Store(tmp_path / "artifacts")
    run_steps([dataset_step()], RunContext(everywhere(FakeRuntime()), store, Quiet()), "mugs")
    return store


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """`invoke` in this process, without a Docker host; returns the exit code and what was printed."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    return commands_of(capsys)


def unfinished(store: Store, name: str, days: float) -> Path:
    """A training that was killed some days ago."""
    job = store.root / "jobs" / name
    (job / "work").mkdir(parents=True)
    checkpoint = job / "work/epoch_8.pth"
    checkpoint.write_bytes(bytes(2_500_000))
    for path in (checkpoint, job / "work", job):
        os.utime(path, (time.time() - days * 86400,) * 2)
    return checkpoint


def test_gc_keeps_a_young_unfinished_training(store: Store, commands: Commands) -> None:
    young, old = unfinished(store, "train-1", 20), unfinished(store, "train-2", 40)
    code, said = commands("gc")
    assert code == 0
    assert "unfinished job train-2: 2.5 MB\nfreed 2.5 MB: 0 cached results" in said
    assert young.exists()
    assert not old.exists()


def test_the_help_names_the_days_that_every_run_keeps_to(commands: Commands) -> None:
    assert f"(default: {DAYS_KEPT})" in " ".join(commands("--help", "gc")[1].split())


def put_tests(store: Store, name: str, image: str, days: float, **facts: object) -> str:
    """The passed tests of an image, so many days old; returns their tag."""
    created = datetime.now(timezone.utc) - timedelta(days=days)
    provenance = Provenance(
        stage=image_tests.KIND,
        step=f"{image_tests.KIND}-{name}",
        created=created.isoformat(timespec="seconds"),
        inputs={"image": f"sha256:{image}"},
        metrics={"failed": facts.pop("failed", 0)},
        facts={"docker_host": "pc", "stand_in": False, **facts},
    )
    tag = cache_tag(f"{image_tests.KIND}.{image}")
    folder = store.root.parent / "result"
    folder.mkdir(exist_ok=True)
    (folder / image_tests.RESULT).write_text(f"{name} {image}")
    store.put(image_tests.KIND, folder, provenance, [tag])
    return tag


def test_gc_keeps_the_tests_of_images_in_use_without_asking_a_docker_host(
    store: Store, commands: Commands
) -> None:
    kept = {
        put_tests(store, "train", "1", 90),
        put_tests(store, "pc", "2", 80),
        put_tests(store, "pc", "3", 90, stand_in=True),
        put_tests(store, "pc", "4", 90, docker_host="orin"),
        put_tests(store, "pc", "5", 10, failed=1),
        put_tests(store, "pc", "6", 95),
    }
    outdated = {put_tests(store, "pc", "7", 100), put_tests(store, "train", "8", 40, failed=1)}
    run_in("sha256:6", store)
    commands("gc")
    left = {tag for tag in store.tags() if is_cache_tag(tag) and image_tests.KIND in tag}
    assert left == kept
    assert not left & outdated


def run_in(image: str, store: Store) -> None:
    """Make something in a container of an image."""
    (store.root.parent / "made").mkdir()
    (store.root.parent / "made/x").touch()
    created = datetime.now(timezone.utc).isoformat()
    facts = {"image_digest": image}
    provenance = Provenance(stage="train", step="train", created=created, facts=facts)
    store.put("checkpoint", store.root.parent / "made", provenance, ["balloon.train"])


def test_a_dry_gc_names_uploaded_inputs_and_changes_nothing_there(
    store: Store, commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = FolderDockerHost(tmp_path / "host")
    ours = there.workspace(store.root)
    volumes = [ours.volume("input", each) for each in ("a", "b", "c")]
    for volume in volumes:
        there.create(ContainerSpec("", [], [VolumeMount(volume, "/x")]))
    for container in list(there.specs)[1:]:
        there.remove(container)
    job = VolumeMount(ours.volume("job", "killed-1"), "/job")
    there.create(ContainerSpec("", [], [job], labels=ours.labels("stage", "killed-1")))
    monkeypatch.setattr(workspace, "connect", lambda *_: there.host)
    monkeypatch.setattr(upkeep, "_outdated_images", lambda *_, **__: [])
    code, said = commands("gc", "--dry-run", "--runtime", "docker")
    assert code == 0
    assert [line for line in said.splitlines() if "input" in line] == [
        f"uploaded input {volume}" for volume in volumes[1:]
    ]
    assert (len(there.specs), len(there.volume_folders)) == (2, 4)
    assert "removed 2 uploaded inputs" in commands("gc", "--runtime", "docker")[1]


@pytest.mark.parametrize("created", ["x", "2024-05-01T10:00:00", ""])
def test_gc_takes_what_does_not_say_when_it_was_made(
    store: Store, commands: Commands, created: str
) -> None:
    """As only others write it; it came into the store of an earlier version."""
    made = store.find("mugs.dataset")
    assert made
    content = Layout(store.root).manifest(made.descriptor)
    assert content.config
    config = json.loads(Layout(store.root).read(content.config))
    config["provenance"] |= {"created": created, "key": "other"}
    blob = canonical_json(config)
    config_ = replace_struct(content.config, digest=digest_of(blob), size=len(blob))
    manifest = canonical_json(replace_struct(content, config=config_))
    for each in (blob, manifest):
        add_blob(store, each)
    entry = replace_struct(made.descriptor, digest=digest_of(manifest), size=len(manifest))
    store.tag(replace(made, descriptor=entry), cache_tag("other"))

    assert "1 cached result" in commands("gc", "--dry-run")[1]
    code, said = commands("gc")
    assert (code, cache_tag("other") in Store(store.root).tags()) == (0, False), said


@pytest.mark.parametrize("words", [("--dry", "gc"), ("gc", "--dry"), ("gc", "--dry-run")])
def test_a_dry_gc_names_what_would_go_and_leaves_it(
    store: Store, commands: Commands, words: tuple[str, ...]
) -> None:
    store.untag("mugs.dataset")
    job = unfinished(store, "train-1", 1)
    code, said = commands(*words, "--days", "0")
    assert code == 0
    (artifact,) = store.artifacts()
    result = f"cached result dataset of {artifact.provenance.created[:10]}: {artifact.digest[:19]}"
    job_line = "unfinished job train-1: 2.5 MB"
    assert f"{result}\n{job_line}\nwould free 2.5 MB: 1 cached results, 3 blobs" in said
    assert job.exists()
    assert len(store.artifacts()) == 1


def test_gc_misses_a_docker_host_only_where_it_was_told_of_one(
    store: Store, commands: Commands
) -> None:
    code, said = commands("gc")
    assert (code, said.count("\n")) == (0, 1)
    for words in (("--runtime", "docker"), ("--docker-host", "unix:///nowhere")):
        code, said = commands("gc", *words)
        assert code == 1
        assert "the Docker host at unix:///nowhere does not answer" in said


def test_gc_drops_nothing_where_its_options_are_wrong(store: Store, commands: Commands) -> None:
    (tag,) = (tag for tag in store.tags() if tag.startswith("mugs"))
    store.untag(tag)
    before = sorted(path.name for path in store.root.rglob("*"))
    for words in (("--docker-host", "unix:///nowhere"), ("--runtime", "dokcer")):
        code, _ = commands("gc", "--days=0", *words)
        assert code == 1
        assert sorted(path.name for path in store.root.rglob("*")) == before


@pytest.mark.parametrize("days", ["x", "-1", "nan"])
def test_gc_refuses_what_is_no_number_of_days(store: Store, commands: Commands, days: str) -> None:
    code, said = commands("gc", f"--days={days}")
    assert code == 1
    assert f"error: --days {days}: not a number of days" in said


def test_a_very_long_time_keeps_everything(store: Store, commands: Commands) -> None:
    store.untag("mugs.dataset")
    assert "0 cached results" in commands("gc", "--days", "1e300")[1]


@pytest.mark.parametrize("words", [("verify",), ("gc",), ("checkout", "mugs.dataset", "out")])
@pytest.mark.parametrize("place", ["typo", "file"])
def test_a_store_that_is_not_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    commands: Commands,
    *,
    words: list[str],
    place: str,
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / place))
    code, said = commands(*words)
    assert code == 1
    assert f"error: there is no store at {tmp_path / place}\n" in said


def test_checkout_takes_a_digest(store: Store, commands: Commands, tmp_path: Path) -> None:
    digest = store.tags()["mugs.dataset"].digest
    for number, name in enumerate((digest, digest[7:19], digest[:19])):
        assert commands("checkout", name, str(tmp_path / str(number)))[0] == 0
        assert (tmp_path / str(number) / "out.txt").exists()


@pytest.mark.parametrize("into", ["file/x", "/proc/x", "artifacts/x", ""])
def test_checkout_says_where_it_cannot_write(
    store: Store, commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    code, said = commands("checkout", "mugs.dataset", into)
    assert code == 1
    assert said.count("error: ") == 1
    assert f"{into or '--into'} " in said


def test_checkout_says_what_is_damaged(store: Store, commands: Commands, tmp_path: Path) -> None:
    digest = store.tags()["mugs.dataset"].digest
    (store.root / "blobs/sha256" / digest[7:]).unlink()
    code, said = commands("checkout", "mugs.dataset", str(tmp_path / "out"))
    assert code == 1
    assert f"mugs.dataset is damaged: blob {digest[:19]} is missing" in said
    assert "verify --mend" in said


def test_checkout_from_a_store_without_names_says_what_makes_one(
    store: Store, commands: Commands, tmp_path: Path
) -> None:
    store.untag("mugs.dataset")
    assert (
        "try: nothing has a name yet: run `invoke demo`"
        in commands("checkout", "mugs.dataset", str(tmp_path / "out"))[1]
    )


def test_verify_mends_once(store: Store, commands: Commands) -> None:
    (store.root / "index.json").write_text("{")
    assert "`invoke verify --mend` starts with an empty one" in commands("verify")[1]
    code, said = commands("verify", "--mend")
    assert code == 1
    assert "the store starts with an empty one" in said
    code, said = commands("verify")
    assert (code, said.split(":")[0]) == (0, "clean")


@pytest.mark.parametrize("place", ["file", "file/x", "/proc/x"])
@pytest.mark.parametrize("verb", ["dataset", "status"])
def test_a_store_where_none_can_be(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, *, place: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / place))
    code, said = commands(verb, "--config", str(ROOT / "configs/demo.toml"))
    may_look = verb == "status" and place == "/proc/x"
    assert code == (0 if may_look else 1), said
    assert may_look or str(tmp_path / place) in said


@pytest.mark.parametrize("verb", ["status", "train", "export", "engine"])
def test_a_wrong_image_name_is_told_with_its_place(
    commands: Commands, tmp_path: Path, store: Store, *, verb: str
) -> None:
    for name in ("pipeline", "targets", "sources"):
        text = (ROOT / f"configs/{name}.toml").read_text()
        (tmp_path / f"{name}.toml").write_text(text.replace('image = "pc"', 'image = "cp"'))
    code, said = commands(verb, "--config", str(tmp_path / "pipeline.toml"))
    assert code == 2
    assert f"error: {tmp_path}/targets.toml: pc-onnxruntime.image: 'cp' is not in" in said


def test_the_letter_s_sets_a_field_everywhere(commands: Commands) -> None:
    for verb in ("demo", "dataset", "export", "profile", "status", "why"):
        assert "-s, --set" in commands("--help", verb)[1]


def test_the_demo_names_its_own_configuration(commands: Commands) -> None:
    assert "(default: configs/demo.toml)" in " ".join(commands("--help", "demo")[1].split())


def test_a_status_of_80_columns_keeps_every_step_whole(store: Store) -> None:
    from rich.console import Console  # noqa: PLC0415

    ingredients_of = partial(ingredients_on, everywhere(FakeRuntime()))
    (state,) = states([dataset_step()], ingredients_of, store, "mugs")
    longer = replace(stages.DATASET, verb="evaluate")
    step = replace(dataset_step(), stage=longer, subject="pc-onnxruntime")
    console = Console(width=80)
    with console.capture() as captured:
        console.print(summary.status("mugs", [state, State(step, "cached", (), state.artifact)]))
    (line,) = [line for line in captured.get().splitlines() if step.name in line]
    digest = store.tags()["mugs.dataset"].digest[7:19]
    assert [cell.strip() for cell in line.split("│")][:3] == [step.name, "cached", digest]
    assert "MB" in line


def test_the_doctor_says_how_to_own_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    finding = look_at(tmp_path / "a b")
    assert not finding.good
    assert f"sudo chown $USER '{tmp_path / 'a b'}'" in finding.mend


def test_the_doctor_sees_that_a_folder_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, why in ((Path("/proc/x"), "no disk"), (tmp_path / "file/x", "is a file")):
        finding = look_at(folder)
        assert not finding.good
        assert why in finding.detail
        assert "MMDET_JETSON_ARTIFACTS" in finding.mend


@pytest.mark.parametrize("scheme", ["", "file://", "FILE://"])
def test_the_doctor_looks_into_a_mirrored_folder_however_it_is_spelled(
    tmp_path: Path, scheme: str
) -> None:
    mirrors = f"{scheme}{tmp_path} {scheme}{tmp_path}/absent HTTP://x.test"
    findings = doctor._mirrors(read_settings({"MMDET_JETSON_MIRRORS": mirrors}))
    assert [finding.good for finding in findings] == [True, False, True]


def look_at(artifacts: Path) -> Finding:
    from mmdet_jetson.runtimes.host import HostRuntime  # noqa: PLC0415

    settings = read_settings({"MMDET_JETSON_ARTIFACTS": str(artifacts)})
    findings = doctor.examine(settings, HostRuntime(settings))
    return next(finding for finding in findings if finding.what == "store folder")
