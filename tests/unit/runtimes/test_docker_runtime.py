import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import Quiet
from folder_engine import IMAGE, PC, FolderEngine

from mmdet_jetson.containers.objects import STDERR, STDOUT, DockerHostError, Image
from mmdet_jetson.containers.workspace import Workspace
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.planning.steps import Given, Step
from mmdet_jetson.running.run_step import RunContext, run_step
from mmdet_jetson.runtimes.docker import DockerRuntime
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.store import Store

ARM = replace(PC, architecture="arm64", runtimes=("runc", "nvidia"))
JETSON = replace(ARM, kernel="5.10.65-tegra")
RELEASE = b"# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64\n"
STAND_IN = {"io.mmdet-jetson.stand-in": "true"}
TRAIN = Step("train", "train", "train", "checkpoint", {})
ENGINE = Step("engine-orin", "engine", "deploy", "engine", {}, image="jp501", is_evidence=True)
Say = Callable[[int, bytes], None]


def stage(job: Path, say: Say) -> int:
    """What a stage does that has a result."""
    description = json.loads((job / "job.json").read_text())
    (job / "output/seen.json").write_text(json.dumps(description))
    (job / "result.json").write_text('{"metrics": {"AP": 0.5}, "facts": {"torch": "1.11"}}')
    say(STDOUT, b'{"step": 1, "to')
    say(STDERR, b"a library's words\n")
    say(STDOUT, b'tal": 2}\nno progress\n')
    return 0


@pytest.fixture
def engine(tmp_path: Path) -> FolderEngine:
    return FolderEngine(tmp_path / "engine", stage)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def runtime(
    engine: FolderEngine,
    store: Store,
    image: Image | None = IMAGE,
    *,
    proven: bool = True,
    **more: Any,
) -> DockerRuntime:
    shelf = Workspace(engine, store.root, lambda _: None)  # type: ignore[arg-type]
    return DockerRuntime(shelf, lambda _: image, lambda _: proven, **more)


def run(engine: FolderEngine, store: Store, step: Step = TRAIN, **options: Any) -> Any:
    listener = Quiet()
    return run_step(
        step, RunContext(runtime(engine, store, **options), store, listener), {}
    ), listener


def test_what_a_stage_makes_comes_home_signed(engine: FolderEngine, store: Store) -> None:
    made, listener = run(engine, store)
    assert "train 1/2" in listener.heard
    assert made.provenance.metrics == {"AP": 0.5}
    assert made.provenance.facts == {
        "torch": "1.11", "image": "trial:1", "image_digest": IMAGE.id, "image_tested": True,
        "stand_in": False, "emulated": False, "engine": "pc (Docker 20.10)",
    }  # fmt: skip
    assert made.provenance.warnings == []
    assert (engine.boxes, engine.shelves) == ({}, {})
    assert list((store.root / "jobs").iterdir()) == []


def test_a_stage_finds_its_inputs_where_they_are_there(
    engine: FolderEngine, store: Store, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").write_text("a")
    step = replace(TRAIN, inputs={"dataset": Given(lambda: "sha256:1", lambda _: data)})
    made, _ = run(engine, store, step)
    seen = json.loads(store.read(made, "seen.json"))
    assert seen["inputs"] == {"dataset": "/inputs/dataset/content"}
    assert seen["outputs"] == {"checkpoint": "output"}
    (mount, job) = engine.created[-1].volumes
    assert (mount.target, mount.read_only) == ("/inputs/dataset", True)
    assert (job.target, job.read_only) == ("/job", False)


def test_what_a_step_reuses_travels_in_its_work_folder(engine: FolderEngine, store: Store) -> None:
    def measure(job: Path, say: Say) -> int:
        earlier = job / "work/timing.cache"
        seen.append(earlier.read_text() if earlier.exists() else None)
        (job / "output/timing.cache").write_text("measured")
        return stage(job, say)

    seen: list[str | None] = []
    engine.program = measure
    for seed in (1, 2):
        run(engine, store, replace(ENGINE, parameters={"seed": seed}, reuses="timing.cache"))
    assert seen == [None, "measured"]


@pytest.mark.parametrize("uses_gpu", [True, False])
def test_a_gpu_is_asked_for_where_the_step_uses_one(
    uses_gpu: bool, engine: FolderEngine, store: Store
) -> None:
    run(engine, store, replace(TRAIN, uses_gpu=uses_gpu))
    assert engine.created[-1].gpu is uses_gpu


@pytest.mark.parametrize(
    ("facts", "image", "step", "grade"),
    [
        (PC, IMAGE, TRAIN, "measured"),
        (PC, replace(IMAGE, labels=STAND_IN), TRAIN, "measured, stand-in base"),
        (PC, replace(IMAGE, architecture="arm64"), ENGINE, "emulated"),
        (
            PC,
            replace(IMAGE, architecture="arm64", labels=STAND_IN),
            ENGINE,
            "emulated, stand-in base",
        ),
        (ARM, replace(IMAGE, architecture="arm64"), ENGINE, "emulated"),
        (JETSON, replace(IMAGE, architecture="arm64"), ENGINE, "measured"),
        (ARM, replace(IMAGE, architecture="arm64"), TRAIN, "measured"),
        (PC, IMAGE, replace(ENGINE, image="pc"), "measured"),
    ],
    ids=[
        "pc",
        "stand-in",
        "emulated",
        "emulated-stand-in",
        "arm-server",
        "jetson",
        "arm-train",
        "pc-target",
    ],
)
def test_evidence_says_how_near_to_the_target_it_is(  # noqa: PLR0917
    facts: Any, image: Image, step: Step, grade: str, engine: FolderEngine, store: Store
) -> None:
    engine.facts = facts
    assert runtime(engine, store, image).evidence(step) == grade


def test_the_grade_is_a_parameter_of_the_stage(engine: FolderEngine, store: Store) -> None:
    made, _ = run(engine, store, ENGINE, image=replace(IMAGE, labels=STAND_IN))
    assert made.provenance.parameters["evidence"] == "measured, stand-in base"
    assert made.provenance.facts["stand_in"] is True
    assert "stand-in" in made.provenance.warnings[0]


def test_the_stages_source_is_no_part_of_the_environment(
    engine: FolderEngine, store: Store
) -> None:
    def identity(**changes: Any) -> str:
        return runtime(engine, store, replace(IMAGE, **changes)).identity(TRAIN)

    assert identity(id="sha256:2", layers=("base", "packages", "other")) == identity()
    others = [
        {"layers": ("base", "other", "source")},
        {"labels": STAND_IN},
        {"architecture": "arm64"},
    ]
    assert len({identity(), *(identity(**change) for change in others)}) == 4


def test_no_device_is_handed_an_engine_of_another(engine: FolderEngine, store: Store) -> None:
    """Neither of another GPU nor of another L4T; what needs no GPU is the same everywhere."""
    image = replace(IMAGE, architecture="arm64")
    on_gpu = replace(ENGINE, uses_gpu=True)
    other = RELEASE.replace(b"REVISION: 4.1", b"REVISION: 3.1")
    identities = []
    for gpu, release in (("87", RELEASE), ("72", RELEASE), ("87", other)):
        engine.facts, engine.gpu = JETSON, gpu
        engine.host_files = {"/etc/nv_tegra_release": release}
        made = runtime(engine, store, image)
        identities.append(made.identity(on_gpu))
        assert made.identity(ENGINE) == runtime(engine, store, image).identity(ENGINE)
        assert made.identity(ENGINE) in identities[-1]
    assert identities[0].endswith(":l4t35.4.1:sm87")
    assert len(set(identities)) == 3


def test_the_engines_machine_is_described(engine: FolderEngine, store: Store) -> None:
    assert runtime(engine, store).machine == Machine(
        "amd64", has_gpu=False, in_containers=True, name="the engine at fake"
    )
    engine.facts, engine.host_files = JETSON, {"/etc/nv_tegra_release": RELEASE}
    jetson = runtime(engine, store).machine
    assert (jetson.architecture, jetson.l4t, jetson.has_gpu) == ("arm64", "35.4.1", True)
    engine.host_files = {}
    assert runtime(engine, store).machine.l4t == ""


def test_a_target_without_an_image_runs_in_no_container(engine: FolderEngine, store: Store) -> None:
    with pytest.raises(DockerHostError, match="engine-orin: there is no container image"):
        run(engine, store, replace(ENGINE, image=""))


def test_an_unproven_image_is_refused(engine: FolderEngine, store: Store) -> None:
    with pytest.raises(
        DockerHostError, match=r"has not passed its own tests\n.*images.test --name train"
    ):
        run(engine, store, proven=False)
    assert engine.created == []
    made, _ = run(engine, store, proven=False, untested=True)
    assert made.provenance.facts["image_tested"] is False
    assert "has not passed its own tests" in made.provenance.warnings[0]


def test_a_missing_image_is_named_with_the_command_that_builds_it(
    engine: FolderEngine, store: Store
) -> None:
    with pytest.raises(DockerHostError, match=r"has no image 'jp501'(.|\n)*images.build --name jp501"):
        run(engine, store, ENGINE, image=None)


def test_every_image_is_looked_at_before_anything_starts(
    engine: FolderEngine, store: Store
) -> None:
    images = {"train": IMAGE}
    shelf = Workspace(engine, store.root, lambda _: None)  # type: ignore[arg-type]
    docker = DockerRuntime(shelf, images.get, lambda _: True)
    docker.check([TRAIN])
    with pytest.raises(DockerHostError, match=r"has no image 'jp501'"):
        docker.check([TRAIN, ENGINE])


def test_an_engine_without_an_emulator_is_refused_before_any_upload(
    engine: FolderEngine, store: Store
) -> None:
    with pytest.raises(DockerHostError, match=r"runs no arm64 programs(.|\n)*qemu-user-static"):
        run(engine, store, ENGINE, image=replace(IMAGE, architecture="arm64"))
    assert engine.shelves == {}


def ends(code: int, failure: str = "") -> Callable[[Path, Say], int]:
    def program(job: Path, say: Say) -> int:
        if failure:
            (job / "failure.json").write_text(json.dumps({"message": failure, "hint": "mend it"}))
        say(STDERR, b"last words\n")
        (job / "work/epoch_1.pth").write_text("newest")
        return code

    return program


@pytest.mark.parametrize(
    ("program", "out_of_memory", "told"),
    [
        (ends(3, "the loss became NaN"), False, r"the loss became NaN\n.*mend it"),
        (ends(137), True, "memory ran out"),
        (ends(137), False, "killed with memory left"),
        (ends(137), None, "killed: memory ran out, someone"),
        (ends(137, "ran out of memory"), True, "train: ran out of memory"),
        (ends(1), False, "exit code 1; its last words:\nlast words"),
        (ends(0), False, "exit code 0"),
    ],
    ids=[
        "own-words",
        "out-of-memory",
        "killed",
        "killed-by-podman",
        "own-words-on-memory",
        "traceback",
        "no-result",
    ],
)
def test_a_failure_is_told_apart(
    program: Any, out_of_memory: bool | None, told: str, engine: FolderEngine, store: Store
) -> None:
    engine.program, engine.out_of_memory = program, out_of_memory
    with pytest.raises(StageFailed, match=told):
        run(engine, store)
    (log,) = store.root.glob("jobs/*/log.txt")
    assert log.read_text() == "last words\n"
    assert (engine.boxes, engine.shelves) == ({}, {})


@pytest.mark.parametrize("resumable", [True, False])
def test_work_of_a_failed_stage_comes_home_where_it_is_of_use(
    resumable: bool, engine: FolderEngine, store: Store
) -> None:
    engine.program = ends(1)
    with pytest.raises(StageFailed):
        run(engine, store, replace(TRAIN, resumable=resumable))
    assert len(list(store.root.glob("jobs/*/work/epoch_1.pth"))) == resumable


def test_a_result_without_its_output_is_no_result(engine: FolderEngine, store: Store) -> None:
    def program(job: Path, _: Say) -> int:
        (job / "output").rmdir()
        (job / "result.json").write_text("{}")
        return 0

    engine.program = program
    with pytest.raises(StageFailed, match="exit code 0"):
        run(engine, store)
