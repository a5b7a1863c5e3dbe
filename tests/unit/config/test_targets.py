"""What targets.toml says, and what it does to the steps."""

from pathlib import Path

import pytest

from mmdet_jetson.config.pipeline import Project, load_project, with_precision
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.backends import BACKENDS
from mmdet_jetson.contract.nvidia import OR, is_version, jetpack_of
from mmdet_jetson.contract.parameters.engine import EngineParameters
from mmdet_jetson.contract.parameters.profile import ProfileParameters
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.planning import pipeline
from mmdet_jetson.planning.inputs import Inputs
from mmdet_jetson.planning.steps import ExternalInput, Step, StepOutput

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
JETSON = """
[orin]
description = "a Jetson"
backend = "tensorrt"
graph = "documented"
plugin = "{folder}/libmmdeploy_tensorrt_ops.so"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("pipeline.toml", "sources.toml"):
        (tmp_path / name).write_text((CONFIGS / name).read_text())
    shipped = (CONFIGS / "targets.toml").read_text()
    (tmp_path / "targets.toml").write_text(shipped + JETSON.replace("{folder}", str(tmp_path)))
    return tmp_path


def test_a_release_that_is_none_is_told_what_one_is(folder: Path) -> None:
    targets = folder / "targets.toml"
    targets.write_text(targets.read_text() + 'l4t = "R35.4"\n')
    with pytest.raises(ConfigError, match=r"orin\.l4t.*: a version is numbers with dots"):
        project_of(folder, "orin")


def test_a_jetpack_that_no_such_l4t_is_of_is_refused(folder: Path) -> None:
    targets = folder / "targets.toml"
    targets.write_text(targets.read_text() + 'l4t = "35.4.1"\njetpack = "5.1.1"\n')
    with pytest.raises(ConfigError, match=r"orin\.jetpack: L4T 35\.4\.1 is JetPack 5\.1\.2"):
        project_of(folder, "orin")


def test_the_shipped_targets_name_each_release_once() -> None:
    for name, target in project_of(CONFIGS, "pc-onnxruntime").targets.items():
        assert (target.l4t is None) == (target.jetpack is None), name
        for l4t in target.facts.get("l4t", "").split(OR):
            known = jetpack_of(l4t)
            assert known is None or is_version(known, target.facts["jetpack"]), name


@pytest.mark.parametrize(
    ("target", "releases", "others"),
    [
        ("agx-orin-jp502", "35.1.0", "34.1.1 35.2.1"),
        ("orin-jp512", "35.2.1 35.3.1 35.4.1 35.5.0 35.6.0 35.6.2", "35.1.0 36.3.0"),
        ("orin-jp60", "36.3.0", "36.2.0 36.4.0"),
        ("orin-jp62", "36.4.0 36.4.3 36.4.4 36.4.7 36.5.0", "36.3.0 38.4.0"),
        ("thor-jp7", "38.2.0 38.2.1 38.4.0", "36.5.0 39.2.0"),
        ("thor-jp72", "39.2.0 39.2.1", "38.4.0"),
        ("orin-jp72", "39.2.0 39.2.1", "36.5.0 38.4.0"),
    ],
)
def test_a_shipped_target_takes_every_release_with_its_tensorrt(
    target: str, releases: str, others: str
) -> None:
    facts = project_of(CONFIGS, target).targets[target].facts

    def fits(release: str) -> bool:
        jetpack = jetpack_of(release)
        assert jetpack, release
        return is_version(release, facts["l4t"]) and is_version(jetpack, facts["jetpack"])

    assert all(map(fits, releases.split()))
    assert not any(map(fits, others.split()))


def test_several_releases_will_do_where_a_target_lists_them(folder: Path) -> None:
    targets = folder / "targets.toml"
    shipped = targets.read_text()
    targets.write_text(shipped + 'l4t = ["36.4", "36.5"]\njetpack = ["6.1", "6.2"]\n')
    facts = project_of(folder, "orin").targets["orin"].facts
    assert facts == {"l4t": "36.4 or 36.5", "jetpack": "6.1 or 6.2"}
    targets.write_text(shipped + 'l4t = ["36.4.3", "36.3.0"]\njetpack = ["6.1", "6.2"]\n')
    with pytest.raises(ConfigError, match=r"L4T 36\.3\.0 is JetPack 6\.0, .*JetPack 6\.1 or 6\.2"):
        project_of(folder, "orin")
    targets.write_text(shipped + 'l4t = ["36.4", "R36.5"]\n')
    with pytest.raises(ConfigError, match=r"orin\.l4t.*: a version is numbers with dots"):
        project_of(folder, "orin")


def test_what_a_target_says_of_its_device_is_compared_where_its_engine_is_built(
    folder: Path, settings: Settings
) -> None:
    facts = 'l4t = "35.4.1"\njetpack = "5.1.2"\ncuda = "11.4"\ntensorrt = "8.5.2"\nsm = 87\n'
    targets = folder / "targets.toml"
    targets.write_text(targets.read_text() + facts)
    (folder / "libmmdeploy_tensorrt_ops.so").touch()
    parameters = steps_of(project_of(folder, "orin"), settings)["engine-orin"].parameters
    assert isinstance(parameters, EngineParameters)
    assert parameters.needs == {
        "l4t": "35.4.1", "jetpack": "5.1.2", "cuda": "11.4", "tensorrt": "8.5.2", "sm": "87",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("backend", "precision"), [("onnxruntime", "int8"), ("openvino", "bf16"), ("openvino", "int8")]
)
def test_what_cannot_be_lowered_is_refused_before_a_training(
    folder: Path, backend: str, precision: str
) -> None:
    targets = folder / "targets.toml"
    table = f'[pc]\ndescription = "a PC"\nbackend = "{backend}"\nprecision = "{precision}"\n'
    targets.write_text(table + 'graph = "documented"\n')
    with pytest.raises(ConfigError, match=f"pc.graph: .* cannot lower .* to {precision}"):
        project_of(folder, "pc")


def test_the_power_mode_of_a_target_is_what_its_profile_expects(
    folder: Path, settings: Settings
) -> None:
    targets = folder / "targets.toml"
    shipped = targets.read_text()
    for line, expected in (("", None), ('power_mode = "MODE_30W"\n', "MODE_30W")):
        targets.write_text(shipped + line)
        parameters = steps_of(project_of(folder, "orin"), settings)["profile-orin"].parameters
        assert isinstance(parameters, ProfileParameters)
        assert parameters.power_mode == expected


def project_of(folder: Path, target: str) -> Project:
    return load_project(folder / "pipeline.toml", [f'targets=["{target}"]'])


def steps_of(project: Project, settings: Settings) -> dict[str, Step]:
    inputs = Inputs(project, settings, lambda name, done, total: None)
    return {step.name: step for step in pipeline.plan(project, inputs)}


def parameters_of(step: Step) -> EngineParameters:
    assert isinstance(step.parameters, EngineParameters)
    return step.parameters


def test_tensorrt_for_rtx_has_an_environment_of_its_own(folder: Path, settings: Settings) -> None:
    steps = steps_of(project_of(folder, "pc-rtx"), settings)
    environments = {
        step.stage.module: step.environment for step in steps.values() if step.subject == "pc-rtx"
    }
    assert environments == {
        "rehearse": "deploy-rtx",
        "export": "train",
        "engine": "deploy-rtx",
        "evaluate_engine": "deploy-rtx",
        "profile": "deploy-rtx",
        "prove": "train",
    }
    assert parameters_of(steps["engine-pc-rtx"]).compute_capabilities == (86, 89)


def test_tensorrt_alone_reuses_its_timings(folder: Path, settings: Settings) -> None:
    for target, reused in (("orin", "timing.cache"), ("pc-rtx", ""), ("pc-onnxruntime", "")):
        project = project_of(folder, target)
        (folder / "libmmdeploy_tensorrt_ops.so").write_bytes(b"a library")
        assert steps_of(project, settings)[f"engine-{target}"].reuses == reused


def test_int8_alone_reads_pictures(folder: Path, settings: Settings) -> None:
    project = project_of(folder, "pc-onnxruntime")
    fp32 = steps_of(project, settings)["engine-pc-onnxruntime"]
    int8 = steps_of(with_precision(project, "int8"), settings)["engine-pc-onnxruntime"]
    assert set(fp32.inputs) == {"onnx"}
    assert int8.inputs["training"] == StepOutput("dataset", ("train", "train.json"))
    assert int8.inputs["validation"] == StepOutput("dataset", ("val", "val.json"))
    assert parameters_of(fp32).calibration_pictures is None
    assert parameters_of(int8).precision == "int8"
    assert parameters_of(int8).calibration_pictures == 64


def test_an_unknown_precision_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="--precision fp8: unknown") as caught:
        with_precision(project_of(folder, "pc-rtx"), "fp8")
    assert "fp" in caught.value.hint


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("backend", "tensorrtx", "'tensorrtx' is unknown; did you mean 'tensorrt'?"),
        ("precision", "fp61", "'fp61' is unknown; did you mean 'fp16'?"),
    ],
)
def test_a_choice_that_nothing_implements_is_named(
    folder: Path, field: str, value: str, message: str
) -> None:
    path = folder / "targets.toml"
    path.write_text(
        path.read_text() + f'[new]\n{field} = "{value}"\n'
        'description = ""\n' + ('backend = "tensorrt"\n' if field != "backend" else "")
    )
    with pytest.raises(ConfigError) as caught:
        project_of(folder, "new")
    assert f"new.{field}: {message}" in str(caught.value)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_builds_in_each_of_its_precisions(folder: Path, backend: str) -> None:
    path = folder / "targets.toml"
    path.write_text(
        path.read_text() + f'[new]\nbackend = "{backend}"\ndescription = ""\n'
        "compute_capabilities = [87]\n"
    )
    project = project_of(folder, "new")
    for precision in BACKENDS[backend].precisions:
        assert with_precision(project, precision).targets["new"].precision == precision


def test_onnxruntime_has_no_fp16(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"pc-onnxruntime\.precision: .* fp16"):
        with_precision(project_of(folder, "pc-onnxruntime"), "fp16")


def test_tensorrt_for_rtx_needs_to_know_its_gpus(folder: Path) -> None:
    path = folder / "targets.toml"
    path.write_text(path.read_text().replace("compute_capabilities = [86, 89]", ""))
    with pytest.raises(ConfigError, match=r"pc-rtx\.compute_capabilities: needed"):
        project_of(folder, "pc-rtx")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_without_plugins_takes_no_documented_graph(folder: Path, backend: str) -> None:
    path = folder / "targets.toml"
    path.write_text(
        path.read_text() + f'[new]\nbackend = "{backend}"\ngraph = "documented"\n'
        'description = ""\ncompute_capabilities = [87]\n'
    )
    if backend != "tensorrt_rtx":
        assert project_of(folder, "new").targets["new"].graph == "documented"
        return
    with pytest.raises(ConfigError, match=r"new\.graph: .* 'tensorrt_rtx' does not run") as caught:
        project_of(folder, "new")
    assert '"fused"' in caught.value.hint


def test_a_plugin_is_an_input_whose_content_counts(folder: Path, settings: Settings) -> None:
    step = steps_of(project_of(folder, "orin"), settings)["engine-orin"]
    plugin = step.inputs["plugin"]
    assert isinstance(plugin, ExternalInput)
    assert not plugin.is_known()
    with pytest.raises(ConfigError, match=r"orin\.plugin: .* is not a file"):
        plugin.digest()
    (folder / "libmmdeploy_tensorrt_ops.so").write_bytes(b"a library")
    placed = plugin.place(folder / "placed")
    assert [path.name for path in placed.iterdir()] == ["libmmdeploy_tensorrt_ops.so"]
    assert plugin.digest()


@pytest.mark.parametrize("version", ["8.4", "8.4.1"])
def test_tensorrt_84_takes_no_pictures(folder: Path, version: str) -> None:
    path = folder / "targets.toml"
    added = f'[old]\ndescription = ""\nbackend = "tensorrt"\ntensorrt = "{version}"\n'
    path.write_text(path.read_text() + added)
    with pytest.raises(ConfigError, match=r"old\.input: TensorRT 8\.4.* takes no 8-bit pictures"):
        project_of(folder, "old")
    path.write_text(path.read_text() + 'graph = "documented"\n')
    project_of(folder, "old")
