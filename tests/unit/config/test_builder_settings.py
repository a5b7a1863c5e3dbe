"""What a target asks of TensorRT's builder, and what it has from another target."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from mmdet_jetson.config.pipeline import Project, load_project, with_precision
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.parameters.engine import (
    BuilderSettings,
    EngineParameters,
    SessionSettings,
)
from mmdet_jetson.errors import ConfigError
from mmdet_jetson.planning import pipeline
from mmdet_jetson.planning.inputs import Inputs

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
BASE = '[jetson]\ndescription = "a Jetson"\nbackend = "tensorrt"\nprecision = "fp16"\n'
DLA = f'{BASE}input = "letterboxed"\ndla = 0\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("pipeline.toml", "sources.toml"):
        (tmp_path / name).write_text((CONFIGS / name).read_text())
    return tmp_path


def project_of(folder: Path, targets: str, name: str = "jetson") -> Project:
    (folder / "targets.toml").write_text(targets)
    return load_project(folder / "pipeline.toml", [f'targets=["{name}"]'])


def test_settings_reach_the_engines_parameters(folder: Path, settings: Settings) -> None:
    stated = {"workspace": 256, "largest_picture": 2048, "optimization_level": 5}
    lines = "".join(f"{name} = {value}\n" for name, value in stated.items())
    project = project_of(folder, BASE + lines)

    steps = pipeline.plan(project, Inputs(project, settings, lambda name, done, total: None))

    (engine,) = (step.parameters for step in steps if step.name == "engine-jetson")
    assert isinstance(engine, EngineParameters)
    assert asdict(engine.builder) == {**stated, "dla": None}


def test_how_it_is_run_reaches_the_engines_parameters(folder: Path, settings: Settings) -> None:
    project = project_of(folder, BASE + "cuda_graph = true\n")

    steps = pipeline.plan(project, Inputs(project, settings, lambda name, done, total: None))

    (engine,) = (step.parameters for step in steps if step.name == "engine-jetson")
    assert isinstance(engine, EngineParameters)
    assert engine.session == SessionSettings(cuda_graph=True, mapped_memory=False)


def test_what_is_not_stated_is_the_builders(folder: Path) -> None:
    assert project_of(folder, BASE).targets["jetson"].builder == BuilderSettings()


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (BASE + "workspace = 8\n", r"jetson\.workspace: .*>= 16"),
        (BASE + "largest_picture = 16\n", r"jetson\.largest_picture: .*>= 32"),
        (BASE + "optimization_level = 6\n", r"jetson\.optimization_level: .*<= 5"),
        (BASE + "dla = 2\n", r"jetson\.dla: .*<= 1"),
        (BASE + "largest_picture = 320\n", "320 is less than the longer side of input_size, 640"),
        (BASE + 'input = "tensor"\nlargest_picture = 999\n', "pictures of one size only"),
        (BASE + 'tensorrt = "8.5.2"\noptimization_level = 1\n', r"TensorRT 8\.5\.2 has none, 8\.6"),
        (BASE + "dla = 1\n", "inputs have one size only"),
        (DLA.replace("fp16", "fp32"), "and not in fp32"),
        (DLA + 'module = "Orin Nano"\n', "a Jetson Orin Nano has no DLA"),
        (DLA + 'module = "Thor"\n', "a Jetson Thor has no DLA"),
        (DLA + 'tensorrt = "10.13"\n', r"TensorRT 10\.13 has no DLA: 10\.7 was the last"),
        (DLA + 'tensorrt = ["10.3", "10.16"]\n', r"TensorRT 10\.16 has no DLA"),
        (DLA + 'graph = "documented"\n', "must stay on the GPU"),
        (DLA.replace("fp16", "int8") + 'tensorrt = "10.3"\n', "which no DLA takes"),
        (BASE + 'graph = "documented"\ntensorrt = "10.3"\n', "computes in the types of a graph"),
        (
            '[jetson]\ndescription = "a PC"\nbackend = "onnxruntime"\nmapped_memory = true\n',
            r"jetson\.mapped_memory: backend 'onnxruntime' runs on no GPU",
        ),
        (
            '[jetson]\ndescription = "a PC"\nbackend = "onnxruntime"\nworkspace = 99\n',
            "backend 'onnxruntime' has no such setting",
        ),
    ],
)
def test_what_no_device_or_version_has_is_refused_in_the_plan(
    folder: Path, targets: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        project_of(folder, targets)


@pytest.mark.parametrize(
    "targets",
    [
        DLA + 'tensorrt = "8.5.2"\nmodule = "AGX Orin"\n',
        DLA.replace("fp16", "int8") + 'tensorrt = "8.6.2"\nmodule = "Orin NX"\n',
        DLA + 'tensorrt = "10.3"\n',
        BASE + 'tensorrt = "8.6.2"\noptimization_level = 0\n',
        BASE + 'tensorrt = "10.16"\noptimization_level = 5\n',
        BASE + 'graph = "documented"\ntensorrt = "8.4.0"\n',
    ],
)
def test_what_some_device_has_is_taken(folder: Path, targets: str) -> None:
    assert project_of(folder, targets).used_targets


def test_another_precision_of_a_target_with_a_dla_is_checked_too(folder: Path) -> None:
    with pytest.raises(ConfigError, match="and not in fp32"):
        with_precision(project_of(folder, DLA), "fp32")


def test_a_target_has_what_it_does_not_state_from_the_one_it_is_like(folder: Path) -> None:
    own = '[own]\ndescription = "mine"\nlike = "middle"\nprecision = "fp32"\n'
    middle = '[middle]\ndescription = "between"\nlike = "jetson"\n'
    targets = project_of(folder, own + middle + BASE + "workspace = 99\n", "own").targets

    assert targets["own"].description == "mine"
    assert (targets["own"].backend, targets["own"].precision) == ("tensorrt", "fp32")
    assert targets["own"].workspace == targets["jetson"].workspace == 99


def test_a_setting_that_is_not_the_targets_own_is_told_where_it_comes_from(folder: Path) -> None:
    own = '[own]\ndescription = "mine"\nlike = "jetson"\ninput = "letterboxed"\n'
    with pytest.raises(ConfigError, match=r"own\.largest_picture") as caught:
        project_of(folder, own + BASE + "largest_picture = 999\n", "own")
    assert "where own has it from 'jetson', let it be like a target without" in caught.value.hint


@pytest.mark.parametrize(
    ("backend", "hint"),
    [
        ("onnxruntime", "remove it"),
        ("tensorrt_rtx", "remove it; that backend has largest_picture"),
    ],
)
def test_a_setting_that_a_backend_lacks_is_told_with_those_it_has(
    folder: Path, backend: str, hint: str
) -> None:
    target = f'[jetson]\ndescription = ""\nbackend = "{backend}"\nworkspace = 99\n'
    with pytest.raises(ConfigError, match="has no such setting") as caught:
        project_of(folder, target + "compute_capabilities = [89]\n")
    assert caught.value.hint == hint
    assert str(caught.value).startswith(f"{folder / 'targets.toml'}: jetson.workspace")


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ('description = "mine"\nlike = "bse"\n', r"own\.like: there is no target 'bse'; "),
        ('like = "jetson"\n', r"own\.description is missing; add description = "),
        ('description = "mine"\nlike = [3]\n', r"own\.like: there is no target \[3\]; "),
        ('description = "mine"\nlike = "own"\n', r"own\.like: 'own' is like 'own'; let"),
        ('description = "mine"\nlike = "also"\n', r"'own' is like 'also', which is like 'own'; "),
        (
            'description = "mine"\nlike = ""\n',
            r"own\.like: names no target; name one, or remove it",
        ),
        ('description = "mine"\nlik = "jetson"\n', r"unknown key 'own\.lik'; did you mean 'like'"),
    ],
)
def test_a_target_that_is_like_none_is_named(folder: Path, own: str, message: str) -> None:
    also = '[also]\ndescription = "other"\nlike = "own"\n'
    with pytest.raises(ConfigError) as caught:
        project_of(folder, f"[own]\n{own}{also}{BASE}", "own")
    assert re.search(message, f"{caught.value.message}; {caught.value.hint}")


def test_each_jetson_has_a_target_in_half_precision_that_is_shown_as_the_one_to_take() -> None:
    targets = load_project(CONFIGS / "pipeline.toml").targets
    exact = [n for n, t in targets.items() if t.backend == "tensorrt" and t.precision == "fp32"]
    assert exact
    for name in exact:
        assert targets[f"{name}-fp16"].precision == "fp16", name
        assert targets[f"{name}-fp16"].facts == targets[name].facts
        assert "take this one" in targets[f"{name}-fp16"].description
    small = {name: target for name, target in targets.items() if target.module == "Orin Nano"}
    assert len(small) == 4
    assert all(target.builder.largest_picture < 4096 for target in small.values())


def test_the_documented_target_with_a_dla_is_one(folder: Path) -> None:
    docs = (CONFIGS.parent / "docs/engines.md").read_text()
    examples = re.findall(r"```toml\n(\[.*?)```", docs, re.DOTALL)
    (example,) = [each for each in examples if "dla" in each]
    shipped = (CONFIGS / "targets.toml").read_text()

    target = project_of(folder, f"{shipped}\n{example}", "orin-nx-jp62-dla").targets

    assert target["orin-nx-jp62-dla"].builder.dla == 0
    assert target["orin-nx-jp62-dla"].precision == "fp16"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('graph = "documented"\ntensorrt = "ten"\n', "a version is numbers with dots"),
        ('graph = "documented"\ntensorrt = "10"\n', "computes in the types of a graph"),
        (
            'input = "letterboxed"\ndla = 0\ntensorrt = "10"\nprecision = "int8"\n',
            "which no DLA takes",
        ),
    ],
)
def test_a_version_of_one_number_or_of_none_is_a_sentence(
    folder: Path, lines: str, sentence: str
) -> None:
    base = BASE.replace('precision = "fp16"\n', "") if "precision" in lines else BASE
    with pytest.raises(ConfigError, match=sentence):
        project_of(folder, base + lines)
