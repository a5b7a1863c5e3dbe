import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import jetsons
import pytest
from folder_docker_host import IMAGE, PC, FolderDockerHost, OnOutput, Program

from mmdet_jetson.containers.objects import STDERR, STDOUT, DockerHostError, HostFacts, Image
from mmdet_jetson.contract.job import Progress
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.parameters.evaluate import (
    DrawingParameters,
    EvaluateCheckpointParameters,
    EvaluateEngineParameters,
)
from mmdet_jetson.contract.parameters.export import ExportParameters
from mmdet_jetson.contract.parameters.train import TrainParameters
from mmdet_jetson.contract.power import power_modes
from mmdet_jetson.environments.this_machine import Machine
from mmdet_jetson.errors import UserError
from mmdet_jetson.planning import stage_source, stages
from mmdet_jetson.planning.stages import DEPLOY
from mmdet_jetson.planning.steps import ExternalInput, Step
from mmdet_jetson.running.context import Ending
from mmdet_jetson.running.run_step import RunContext, run_step
from mmdet_jetson.runtimes.docker import DockerRuntime
from mmdet_jetson.runtimes.docker_machine import DockerMachine
from mmdet_jetson.runtimes.outcome import StageFailed
from mmdet_jetson.runtimes.protocol import Runtimes
from mmdet_jetson.store import Artifact, Store

ARM = replace(PC, architecture="arm64", runtimes=("runc", "nvidia"))
JETSON = replace(ARM, kernel="5.10.65-tegra")
BOARD_FILE = "/sys/firmware/devicetree/base/model"
CHIP_FILE = "/sys/firmware/devicetree/base/compatible"
RELEASE = b"# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64\n"
STAND_IN = {"io.mmdet-jetson.stand-in": "true"}
TRAIN = Step(
    stage=stages.TRAINING,
    parameters=TrainParameters(
        config="configs/any.py", epochs=1, batch_size=1, seed=0, workers=0, device="cpu",
        overrides={}, classes=("balloon",), input_size=(64, 64),
    ),
)  # fmt: skip
EXPORT = Step(
    stage=stages.EXPORT,
    subject="orin",
    parameters=ExportParameters("tensorrt", "any.py", (64, 64), None),
)
ENGINE = Step(
    stage=stages.ENGINE,
    subject="orin",
    parameters=EngineParameters("orin", "tensorrt", "fp16", (87,), None),
    environment=DEPLOY,
    image="jp501",
)
EVALUATE_CHECKPOINT = Step(
    stage=stages.EVALUATE_CHECKPOINT,
    parameters=EvaluateCheckpointParameters("checkpoint", "auto", DrawingParameters(0, 0.5)),
)
EVALUATION = Step(
    stage=stages.EVALUATE_ENGINE,
    subject="orin",
    parameters=EvaluateEngineParameters(DrawingParameters(0, 0.5)),
    environment=DEPLOY,
    image="jp501",
)


@dataclass
class Heard:
    """Keeps the progress that it is told of."""

    progress_of: list[tuple[str, Progress]] = field(default_factory=list)

    def started(self, step: Step) -> None: ...

    def waiting(self, step: Step) -> None: ...

    def progress(self, step: Step, progress: Progress) -> None:
        self.progress_of.append((step.name, progress))

    def finished(self, step: Step, artifact: Artifact, *, cached: bool) -> None: ...

    def in_registry(self, step: Step, artifact: Artifact) -> None: ...

    def left_out(self, step: Step, why: str) -> None: ...

    def held_up(self, step: Step, why: str) -> None: ...

    def failed(self, step: Step, error: UserError) -> None: ...

    def ended(self, endings: Sequence[Ending]) -> None: ...


def stage(job: Path, on_output: OnOutput) -> int:
    """What a stage does that has a result."""
    (job / "output/seen.json").write_bytes((job / "job.json").read_bytes())
    (job / "result.json").write_text('{"metrics": {"AP": 0.5}, "facts": {"torch": "1.11"}}')
    on_output(STDOUT, b'{"step": 1, "to')
    on_output(STDERR, b"a line of a library\n")
    on_output(STDOUT, b'tal": 2}\nno progress\n')
    return 0


@pytest.fixture
def host(tmp_path: Path) -> FolderDockerHost:
    return FolderDockerHost(tmp_path / "host", stage)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def runtime(
    host: FolderDockerHost,
    store: Store,
    image: Image | None = IMAGE,
    *,
    tested: bool = True,
    untested: bool = False,
) -> DockerRuntime:
    workspace = host.workspace(store.root)
    return DockerRuntime(workspace, lambda _: image, lambda _: tested, untested=untested)


def run(
    docker: DockerRuntime, store: Store, step: Step = TRAIN, heard: Heard | None = None
) -> Artifact:
    context = RunContext(Runtimes({step.environment: docker}), store, heard or Heard())
    return run_step(step, context, {})


def test_the_result_of_a_stage_says_where_it_was_made(host: FolderDockerHost, store: Store) -> None:
    heard = Heard()
    artifact = run(runtime(host, store), store, heard=heard)
    assert heard.progress_of == [("train", Progress(1, 2))]
    assert artifact.provenance.metrics == {"AP": 0.5}
    assert artifact.provenance.facts == {
        "torch": "1.11", "image": "trial:1", "image_digest": IMAGE.id, "image_tested": True,
        "stand_in": False, "emulated": False, "docker_host": "pc (Docker 20.10)",
    }  # fmt: skip
    assert artifact.provenance.warnings == []
    assert host.is_empty
    assert not [each for each in store.root.glob("jobs/*") if each.is_dir()]


def test_a_stage_finds_its_inputs_where_they_are_there(
    host: FolderDockerHost, store: Store, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").write_text("a")
    dataset = ExternalInput(lambda: "sha256:1", lambda _: data)
    artifact = run(runtime(host, store), store, replace(TRAIN, inputs={"dataset": dataset}))
    seen = json.loads(store.read(artifact, "seen.json"))
    assert seen["inputs"] == {"dataset": "/inputs/dataset/content"}
    (mount, job) = host.created[-1].volumes
    assert (mount.target, mount.read_only) == ("/inputs/dataset", True)
    assert (job.target, job.read_only) == ("/job", False)


def test_what_a_step_reuses_travels_in_its_work_folder(
    host: FolderDockerHost, store: Store
) -> None:
    def measure(job: Path, on_output: OnOutput) -> int:
        earlier = job / "work/timing.cache"
        seen.append(earlier.read_text() if earlier.exists() else None)
        (job / "output/timing.cache").write_text("measured")
        return stage(job, on_output)

    seen: list[str | None] = []
    host.program = measure
    for precision in ("fp16", "fp32"):
        parameters = EngineParameters("orin", "tensorrt", precision, (87,), None)
        step = replace(ENGINE, parameters=parameters, reuses="timing.cache")
        run(runtime(host, store), store, step)
    assert seen == [None, "measured"]


@pytest.mark.parametrize("uses_gpu", [True, False])
def test_a_gpu_is_asked_for_where_the_step_uses_one(
    uses_gpu: bool, host: FolderDockerHost, store: Store
) -> None:
    run(runtime(host, store), store, replace(TRAIN, uses_gpu=uses_gpu))
    assert host.created[-1].gpu is uses_gpu


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
    facts: HostFacts, image: Image, step: Step, grade: str, host: FolderDockerHost, store: Store
) -> None:
    host.facts = facts
    assert runtime(host, store, image).evidence(step) == grade


def test_the_grade_is_a_parameter_of_the_stage(host: FolderDockerHost, store: Store) -> None:
    stand_in = replace(IMAGE, labels=STAND_IN)
    artifact = run(runtime(host, store, stand_in), store, EVALUATION)
    assert artifact.provenance.parameters["evidence"] == "measured, stand-in base"
    assert artifact.provenance.facts["stand_in"] is True
    assert "stand-in" in artifact.provenance.warnings[0]


def test_the_stages_source_is_no_part_of_the_environment(
    host: FolderDockerHost, store: Store
) -> None:
    def identity(image: Image) -> str:
        return runtime(host, store, image).identity(TRAIN)

    other_source = replace(IMAGE, id="sha256:2", layers=("base", "packages", "other"))
    assert identity(other_source) == identity(IMAGE)
    others = [
        replace(IMAGE, layers=("base", "other", "source")),
        replace(IMAGE, labels=STAND_IN),
        replace(IMAGE, architecture="arm64"),
        replace(IMAGE, config="another ENV"),
    ]
    assert len({identity(image) for image in (IMAGE, *others)}) == 5


def with_gpu(host: FolderDockerHost, **changed: object) -> None:
    """Let a host's driver tell of an Orin."""
    orin = {"name": "Orin", "uuid": "", "sm": 87, "driver": "for CUDA 11.4", "cuda": "11.4"}
    host.gpu = json.dumps({**orin, **changed})


def identities(
    host: FolderDockerHost, store: Store, step: Step, changes: Sequence[Mapping[str, object]]
) -> list[str]:
    """A step's identity on one Jetson after another."""
    image = replace(IMAGE, architecture="arm64")
    found = []
    for change in changes:
        told = dict(change)
        board = str(told.pop("board", "AGX Orin")).encode() + b"\0"
        release = told.pop("release", RELEASE)
        assert isinstance(release, bytes)
        host.facts = JETSON
        host.host_files = {"/etc/nv_tegra_release": release, BOARD_FILE: board}
        with_gpu(host, **told)
        found.append(runtime(host, store, image).identity(step))
    return found


OTHER_JETSONS: list[Mapping[str, object]] = [
    {},
    {"name": "Xavier", "sm": 72},
    {"driver": "for CUDA 12.2"},
    {"board": "Orin NX"},
    {"release": RELEASE.replace(b"REVISION: 4.1", b"REVISION: 3.1")},
]


@pytest.mark.parametrize("step", [ENGINE, EVALUATION, EVALUATE_CHECKPOINT], ids=lambda s: s.name)
def test_no_device_is_handed_a_result_of_another(
    step: Step, host: FolderDockerHost, store: Store
) -> None:
    found = identities(host, store, replace(step, uses_gpu=True), OTHER_JETSONS)
    assert found[0].endswith(":Orin:sm87:driver for CUDA 11.4:AGX Orin:l4t35.4.1")
    assert len(set(found)) == len(OTHER_JETSONS)


@pytest.mark.parametrize("step", [ENGINE, replace(TRAIN, uses_gpu=True)], ids=["cpu", "train"])
def test_what_needs_no_gpu_and_what_was_trained_is_the_same_everywhere(
    step: Step, host: FolderDockerHost, store: Store
) -> None:
    assert len(set(identities(host, store, step, OTHER_JETSONS))) == 1


def test_a_timing_belongs_to_its_gpu_and_power_mode(host: FolderDockerHost, store: Store) -> None:
    host.facts = JETSON
    devices = []
    for uuid, mode in (("", b""), ("a1", b""), ("a1", b"pmode:0002\n")):
        with_gpu(host, uuid=uuid)
        host.host_files = {"/var/lib/nvpmodel/status": mode}
        devices.append(runtime(host, store).device(replace(ENGINE, uses_gpu=True)))
    assert devices[2] == f"{devices[0]}:a1:power mode 2"
    assert len(set(devices)) == 3
    assert runtime(host, store).device(ENGINE) == f"{devices[0]}:power mode 2"


def test_a_timing_belongs_to_its_clocks(host: FolderDockerHost, store: Store) -> None:
    """Somebody may lock them between two timings: they are asked each time."""
    host.facts = JETSON
    machine, step = runtime(host, store), replace(ENGINE, uses_gpu=True)
    before = machine.device(step)
    host.clocks = "locked"
    assert machine.device(step) == f"{before}:clocks locked"


def test_what_times_an_engine_is_told_the_power_modes_of_its_host(
    host: FolderDockerHost, store: Store
) -> None:
    host.facts = JETSON
    host.host_files = {
        "/var/lib/nvpmodel/status": b"pmode:0001\n",
        "/etc/nvpmodel.conf": b"< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=15W >\n",
    }
    machine = DockerMachine(host.host)
    found = power_modes(Path("/nowhere"), machine.power_environ(stages.PROFILE))
    assert found
    assert (str(found.now), str(found.strongest)) == ("15W (1)", "MAXN (0)")
    assert machine.power_environ(stages.ENGINE) == {}


def test_an_image_of_older_sources_is_not_used(
    host: FolderDockerHost, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image's name is a digest of the sources, which a person edits between two targets."""
    package = tmp_path / "mmdet_jetson"
    shutil.copytree(stage_source.PACKAGE, package)
    monkeypatch.setattr(stage_source, "PACKAGE", package)
    found = iter([IMAGE, None])
    docker = DockerRuntime(host.workspace(store.root), lambda _: next(found), lambda _: True)
    assert docker.identity(TRAIN) == docker.identity(TRAIN)
    (package / "stages/train.py").write_text("# edited")
    with pytest.raises(DockerHostError, match="no image 'train' built from the current sources"):
        docker.identity(TRAIN)


def test_the_machine_is_that_of_the_docker_host(host: FolderDockerHost, store: Store) -> None:
    assert runtime(host, store).machine == Machine(
        "amd64", has_gpu=False, in_containers=True, name="the Docker host at fake"
    )
    host.facts, host.host_files = JETSON, {"/etc/nv_tegra_release": RELEASE}
    jetson = runtime(host, store).machine
    assert (jetson.architecture, jetson.l4t, jetson.has_gpu) == ("arm64", "35.4.1", True)
    host.host_files = {}
    assert runtime(host, store).machine.l4t == ""


def jetson_host(host: FolderDockerHost, recorded: jetsons.Recorded) -> None:
    host.facts = replace(JETSON, kernel=recorded.kernel)
    host.host_files, host.groups = recorded.files, recorded.devices
    host.gpu_groups = (44, 90104)


@pytest.mark.parametrize(
    ("recorded", "l4t", "board", "sm"),
    [
        (jetsons.XAVIER, "35.4.1", "Jetson AGX Xavier", 72),
        (jetsons.ORIN, "36.4.3", "NVIDIA Jetson Orin NX Engineering Reference Developer Kit", 87),
        (jetsons.THOR, "38.4.0", "NVIDIA Jetson AGX Thor Developer Kit", 110),
    ],
    ids=["xavier", "orin", "thor"],
)
def test_a_jetsons_board_l4t_and_chip_are_known_from_afar_and_handed_in(  # noqa: PLR0917
    recorded: jetsons.Recorded,
    l4t: str,
    board: str,
    sm: int,
    host: FolderDockerHost,
    store: Store,
) -> None:
    jetson_host(host, recorded)
    docker = runtime(host, store, replace(IMAGE, architecture="arm64"))
    found = docker.machine
    assert (found.l4t, found.board, found.sm) == (l4t, board, sm)
    run(docker, store, EVALUATION)
    environ = host.created[-1].environ
    assert environ["MMDET_JETSON_HOST_L4T"] == l4t
    assert environ["MMDET_JETSON_HOST_BOARD"] == board


def test_what_a_host_does_not_say_is_not_handed_in(host: FolderDockerHost, store: Store) -> None:
    host.facts, host.host_files = JETSON, {BOARD_FILE: b"A Board\0"}
    run(runtime(host, store, replace(IMAGE, architecture="arm64")), store, EVALUATION)
    said = {name: value for name, value in host.created[-1].environ.items() if "HOST" in name}
    assert said == {"MMDET_JETSON_HOST_BOARD": "A Board"}


NEEDS = {"l4t": "36.4 or 36.5", "jetpack": "6.1 or 6.2", "cuda": "12.6", "tensorrt": "10.3", "sm": "87"}  # fmt: skip
REPORTED = {"l4t": "36.4.3", "jetpack": "6.2", "cuda": "12.6.68", "tensorrt": "10.3.0", "sm": "87"}
ON_GPU = replace(
    ENGINE,
    parameters=EngineParameters("orin", "tensorrt", "fp16", (), None, needs=NEEDS),
    uses_gpu=True,
)


def check_on_orin(host: FolderDockerHost, store: Store, reported: Mapping[str, object]) -> None:
    jetson_host(host, jetsons.ORIN)
    host.reported = f"a banner\n{json.dumps(reported)}" if reported else ""
    runtime(host, store, replace(IMAGE, architecture="arm64")).check([TRAIN, ON_GPU])


def test_a_device_and_an_image_that_are_as_the_target_says(
    host: FolderDockerHost, store: Store
) -> None:
    check_on_orin(host, store, REPORTED)
    check_on_orin(host, store, {**REPORTED, "jetpack": None})  # of a release that came after us
    assert host.created[-1].gpu
    assert host.created[-1].environ["MMDET_JETSON_HOST_L4T"] == "36.4.3"


@pytest.mark.parametrize(
    ("reported", "told"),
    [
        (
            {"sm": "72"},
            "'orin' needs compute capability 87, and a container of image 'jp501' .* 72",
        ),
        ({"tensorrt": "8.6.2"}, r"needs TensorRT 10\.3, and .* has 8\.6\.2"),
        ({"cuda": "12.2.140"}, r"needs CUDA 12\.6, and .* has 12\.2\.140"),
        ({"l4t": "36.3.0"}, r"needs Jetson Linux \(L4T\) 36\.4 or 36\.5, and .* has 36\.3\.0"),
        ({"jetpack": "6.0"}, r"needs JetPack 6\.1 or 6\.2, and .* has 6\.0"),
        ({"sm": None}, "cannot use the GPU; it has the groups of its device files: 44, 90104"),
        (None, r"cannot load tensorrt: ImportError: libnvdla_compiler\.so"),
    ],
    ids=["sm", "tensorrt", "cuda", "l4t", "jetpack", "closed", "broken"],
)
def test_a_device_or_an_image_that_contradicts_the_target_is_refused_before_anything_runs(
    reported: Mapping[str, object] | None, told: str, host: FolderDockerHost, store: Store
) -> None:
    with pytest.raises(DockerHostError, match=told):
        check_on_orin(host, store, {**REPORTED, **reported} if reported else {})
    assert host.volume_folders == {}


def test_what_is_emulated_is_compared_with_nothing(host: FolderDockerHost, store: Store) -> None:
    image = replace(IMAGE, architecture="arm64")
    host.facts = replace(PC, runtimes=("runc", "nvidia"))
    runtime(host, store, image).check([ON_GPU])
    assert not [spec for spec in host.created if "reported" in spec.command[-1]]


def test_a_target_without_an_image_runs_in_no_container(
    host: FolderDockerHost, store: Store
) -> None:
    with pytest.raises(DockerHostError, match="engine-orin: there is no container image"):
        run(runtime(host, store), store, replace(ENGINE, image=""))


def test_an_untested_image_is_refused(host: FolderDockerHost, store: Store) -> None:
    with pytest.raises(
        DockerHostError, match=r"has not passed its own tests\n.*images.test --name train"
    ):
        run(runtime(host, store, tested=False), store)
    assert host.created == []
    artifact = run(runtime(host, store, tested=False, untested=True), store)
    assert artifact.provenance.facts["image_tested"] is False
    assert "has not passed its own tests" in artifact.provenance.warnings[0]


def test_a_missing_image_is_named_with_the_command_that_builds_it(
    host: FolderDockerHost, store: Store
) -> None:
    with pytest.raises(
        DockerHostError, match=r"has no image 'jp501'(.|\n)*images.build --name jp501"
    ):
        run(runtime(host, store, None), store, ENGINE)


def test_every_image_is_looked_at_before_anything_starts(
    host: FolderDockerHost, store: Store
) -> None:
    images = {"train": IMAGE}
    docker = DockerRuntime(host.workspace(store.root), images.get, lambda _: True)
    docker.check([TRAIN])
    with pytest.raises(DockerHostError, match=r"has no image 'jp501'"):
        docker.check([TRAIN, ENGINE])


def test_a_docker_host_without_an_emulator_is_refused_before_any_upload(
    host: FolderDockerHost, store: Store
) -> None:
    with pytest.raises(
        DockerHostError, match=r"cannot run the arm64 programs(.|\n)*qemu-user-static"
    ):
        run(runtime(host, store, replace(IMAGE, architecture="arm64")), store, ENGINE)
    assert host.volume_folders == {}


def ends(code: int, failure: str = "") -> Program:
    def program(job: Path, on_output: OnOutput) -> int:
        if failure:
            (job / "failure.json").write_text(json.dumps({"message": failure, "hint": "mend it"}))
        on_output(STDERR, b"the last line\n")
        (job / "work/epoch_1.pth").write_text("newest")
        return code

    return program


@pytest.mark.parametrize(
    ("program", "out_of_memory", "told"),
    [
        (ends(3, "the loss became NaN"), False, r"the loss became NaN\n.*mend it"),
        (ends(137), True, "the Docker host ran out of memory"),
        (ends(137), False, "killed while memory was left"),
        (ends(137), None, "killed: memory ran out, someone"),
        (ends(137, "ran out of memory"), True, "train: ran out of memory"),
        (ends(1), False, "exit code 1; the end of its log:\nthe last line"),
        (ends(0), False, "exit code 0"),
    ],
    ids=[
        "own-sentence",
        "out-of-memory",
        "killed",
        "killed-by-podman",
        "own-sentence-on-memory",
        "traceback",
        "no-result",
    ],
)
def test_a_failure_is_told_apart(
    program: Program, out_of_memory: bool | None, told: str, host: FolderDockerHost, store: Store
) -> None:
    host.program, host.out_of_memory = program, out_of_memory
    with pytest.raises(StageFailed, match=told):
        run(runtime(host, store), store)
    (log,) = store.root.glob("jobs/*/log.txt")
    assert log.read_text() == "the last line\n"
    assert host.is_empty


@pytest.mark.parametrize("step", [TRAIN, EXPORT], ids=["train", "export"])
def test_work_of_a_failed_stage_is_downloaded_where_it_is_of_use(
    step: Step, host: FolderDockerHost, store: Store
) -> None:
    host.program = ends(1)
    with pytest.raises(StageFailed):
        run(runtime(host, store), store, step)
    assert len(list(store.root.glob("jobs/*/work/epoch_1.pth"))) == step.stage.may_resume


def test_a_result_without_its_output_is_no_result(host: FolderDockerHost, store: Store) -> None:
    def program(job: Path, _: OnOutput) -> int:
        (job / "output").rmdir()
        (job / "result.json").write_text("{}")
        return 0

    host.program = program
    with pytest.raises(StageFailed, match="exit code 0"):
        run(runtime(host, store), store)
