import json
from dataclasses import replace
from pathlib import Path

import pytest
from built_engines import engine_job
from fused import fused_folder
from passports import passport

from mmdet_jetson.stages.backends import onnxruntime
from mmdet_jetson.stages.engine import run
from mmdet_jetson.stages.engines import preflight as checks
from mmdet_jetson.stages.engines.opening import open_engine
from mmdet_jetson.stages.engines.preflight import preflight
from mmdet_jetson.stages.errors import StageError
from mmdet_jetson.stages.inference.device import DeviceFacts
from mmdet_jetson.stages.inference.passport import check_device, check_files, read_passport

ORIN = DeviceFacts(sm=87, l4t="35.4.1", versions={"tensorrt": "8.5.2.2"})


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    return fused_folder(tmp_path / "onnx")


@pytest.fixture
def engine(tmp_path: Path, onnx: Path) -> Path:
    job = engine_job(tmp_path, onnx)
    run(job)
    return job.output


def edit(folder: Path, /, **changed: object) -> None:
    path = folder / "passport.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_a_fresh_engine_may_be_opened(engine: Path, onnx: Path) -> None:
    assert preflight(engine, onnx / "end2end.onnx").target == "pc"


@pytest.mark.parametrize("name", ["engine.onnx", "graph.json", "infer.py"])
def test_one_changed_byte_is_refused(engine: Path, name: str) -> None:
    content = bytearray((engine / name).read_bytes())
    content[len(content) // 2] ^= 1
    (engine / name).write_bytes(content)

    with pytest.raises(StageError, match=f"{name} is not the file that its passport describes"):
        preflight(engine)


def test_a_missing_file_is_refused(engine: Path) -> None:
    (engine / "engine.onnx").unlink()

    with pytest.raises(StageError, match=r"engine\.onnx is missing"):
        preflight(engine)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no engine"),
        ("{", "is not JSON"),
        ("[]", "not an object"),
        ("{}", "Passport needs 'target'"),
    ],
)
def test_a_passport_that_is_missing_or_damaged_is_refused(
    engine: Path, content: str | None, message: str
) -> None:
    path = engine / "passport.json"
    path.unlink() if content is None else path.write_text(content)

    with pytest.raises(StageError, match=message):
        read_passport(engine)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_damaged_graph_json_that_no_digest_protects_is_refused(
    engine: Path, content: str | None
) -> None:
    edit(engine, files={})
    path = engine / "graph.json"
    path.unlink() if content is None else path.write_text(content)

    with pytest.raises(StageError, match=r"graph\.json is missing or damaged"):
        preflight(engine)


@pytest.mark.parametrize("target", ["../../evil", "..", "", "a\nb", "a b", "x" * 49])
def test_a_target_that_is_no_name_is_refused(engine: Path, target: str) -> None:
    """Folders are called after it: `invoke export-for` would write outside of its own."""
    edit(engine, target=target)
    with pytest.raises(StageError, match=r"passport\.json is damaged: its target .* is no name"):
        preflight(engine)


def test_an_onnx_file_that_is_none_is_refused(engine: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="is not a file"):
        preflight(engine, tmp_path)


def test_a_passport_of_another_checkpoint_is_stale(engine: Path) -> None:
    edit(engine, checkpoint={"sha256": "d" * 64})

    with pytest.raises(StageError, match="stale: the engine was built from a checkpoint other"):
        preflight(engine)


def test_a_passport_of_another_onnx_file_is_stale(engine: Path, onnx: Path) -> None:
    with (onnx / "end2end.onnx").open("ab") as stream:
        stream.write(b"\0")

    with pytest.raises(StageError, match="stale: the engine was built from an ONNX file other"):
        check_files(engine, read_passport(engine), onnx / "end2end.onnx")


@pytest.mark.parametrize("content", ["null", "[]", '{"sha256": "a", "bytes": 1}', '{"file": 7}'])
def test_a_passport_that_does_not_name_its_engine_is_refused(engine: Path, content: str) -> None:
    edit(engine, engine=json.loads(content))

    with pytest.raises(StageError, match=r"passport\.json is damaged: passport\.json: engine"):
        read_passport(engine)


@pytest.mark.parametrize(
    ("here", "message"),
    [
        (replace(ORIN, sm=72), "built for GPU architecture 87, and this device has 72"),
        (replace(ORIN, sm=None), "built for GPU architecture 87, and this device has none"),
        (
            replace(ORIN, versions={"tensorrt": "8.5.2.3"}),
            r"built for TensorRT 8\.5\.2\.2, and this device has 8\.5\.2\.3",
        ),
        (
            replace(ORIN, l4t="35.3.1"),
            r"built for Jetson Linux \(L4T\) 35\.4\.1, and this device has 35\.3\.1",
        ),
    ],
)
def test_another_device_is_refused_with_what_to_do(here: DeviceFacts, message: str) -> None:
    built = passport("orin", ORIN.by_name())
    check_device(built, ORIN)

    with pytest.raises(StageError, match=message) as caught:
        check_device(built, here)

    assert "invoke build-jetson-engine --target orin" in caught.value.hint


@pytest.mark.parametrize(
    ("board", "core", "lacks"),
    [
        ("NVIDIA Jetson Orin Nano Developer Kit", 0, "has no DLA"),
        ("NVIDIA Jetson Orin Nano Developer Kit", None, None),
        ("NVIDIA Jetson AGX Orin Developer Kit", 1, None),
        ("NVIDIA Jetson AGX Orin Developer Kit", 2, "has DLA 0 to 1 only"),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", 1, None),
        ("A Board", 1, None),
        ("", 0, None),
    ],
)
def test_an_accelerator_that_the_board_lacks_is_refused(
    board: str, core: int | None, lacks: str | None
) -> None:
    """An Orin Nano and an AGX Orin agree in all else that a passport states."""
    built, here = passport("orin", ORIN.by_name()), replace(ORIN, board=board)
    built = replace(built, settings={} if core is None else {"dla": core})
    if lacks is None:
        check_device(built, here)
        return

    with pytest.raises(StageError) as caught:
        check_device(built, here)

    assert caught.value.message == (
        f"this engine was built for DLA {core}, and this device ({board}) {lacks}"
    )
    assert caught.value.hint == (
        "take dla out of target orin in targets.toml, then invoke build-jetson-engine --target orin"
    )


@pytest.mark.parametrize(("sm", "is_good"), [(86, True), (89, True), (75, False)])
def test_any_of_several_gpus_does(sm: int, is_good: bool) -> None:
    built, here = passport("pc", {"sm": [86, 89]}), DeviceFacts(sm, None, {})

    if is_good:
        check_device(built, here)
    else:
        with pytest.raises(StageError, match="86 or 89"):
            check_device(built, here)


@pytest.mark.parametrize(
    ("here", "hint"),
    [
        (
            DeviceFacts(75, None, {"tensorrt_rtx": "1.2"}),
            "add 75 to compute_capabilities of pc-rtx",
        ),
        (DeviceFacts(None, None, {"tensorrt_rtx": "1.2"}), "machine with such a GPU"),
        (DeviceFacts(86, None, {"tensorrt_rtx": "1.3"}), "install TensorRT for RTX 1.2"),
    ],
)
def test_an_engine_for_listed_gpus_is_not_built_on_its_device(here: DeviceFacts, hint: str) -> None:
    runs_on = {"sm": [86, 89], "tensorrt_rtx": "1.2"}
    built = replace(passport("pc-rtx", runs_on), backend="tensorrt_rtx")

    with pytest.raises(StageError) as caught:
        check_device(built, here)

    assert hint in caught.value.hint
    assert "build-jetson-engine" not in caught.value.hint


def test_the_device_is_asked_before_the_engine_is_opened(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    edit(engine, runs_on=ORIN.by_name())
    monkeypatch.setattr(checks, "device_facts", lambda versions: replace(ORIN, sm=72))
    monkeypatch.setattr(onnxruntime, "open_session", lambda engine, _: opened.append(engine))

    with pytest.raises(StageError, match="GPU architecture 87"):
        open_engine(engine)

    assert opened == []


def test_another_plugin_library_is_refused(tmp_path: Path, onnx: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    (plugin / "libmmdeploy_tensorrt_ops.so").write_bytes(b"for TensorRT 8.4")
    job = engine_job(tmp_path, onnx, plugin=plugin)
    run(job)
    engine = job.output
    (engine / "plugin.so").write_bytes(b"for TensorRT 8.5")

    with pytest.raises(StageError, match=r"plugin\.so is not the file"):
        preflight(engine)
