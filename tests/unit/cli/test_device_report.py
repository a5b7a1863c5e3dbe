import json
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
from small_artifacts import PROVENANCE

from mmdet_jetson.cli import device_report, last_results, upkeep
from mmdet_jetson.cli.device_report import write_report
from mmdet_jetson.cli.findings import Finding
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.environments.this_machine import JetPack, Machine
from mmdet_jetson.errors import UserError
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.store import Store

Report = dict[str, Any]


def no_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is no JSON")


def report_of(tmp_path: Path, settings: Settings, *findings: Finding) -> Report:
    write_report(str(tmp_path / "report.json"), settings, HostRuntime(settings), findings)
    return read(tmp_path / "report.json")


def read(file: Path) -> Report:
    report: Report = json.loads(file.read_text(), parse_constant=no_constant)
    return report


def put(settings: Settings, kind: str, day: int, **files: str) -> None:
    folder = settings.artifacts.parent / f"{kind}-{day}"
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    store = Store(settings.artifacts)
    store.create()
    made = msgspec.structs.replace(PROVENANCE, created=f"2026-05-{day:02}T10:00:00+00:00")
    store.put(kind, folder, made, [f"run.{kind}-{day}"])


def test_a_pc_without_a_store_has_a_report(tmp_path: Path, settings: Settings) -> None:
    report = report_of(tmp_path, settings, Finding("memory", True, "25 GB"))
    assert report["findings"] == [
        {"what": "memory", "good": True, "detail": "25 GB", "mend": "", "needed": True}
    ]
    assert report["results"] == []
    assert report["machine"]["architecture"] == HostRuntime(settings).machine.architecture
    assert report["environments"]["deploy"]["built"] is False
    expected = {"project", "user", "gpu_files", "commands", "kernel_modules", "packages", "disks"}
    assert expected <= report.keys()


def test_a_jetson_tells_its_files_and_what_loads(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tmp_path / "jetson"
    for name, text in {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3\n",
        "proc/device-tree/compatible": "nvidia,p3768\0nvidia,tegra234\0",
        "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
    }.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text)
    python = tmp_path / "python3"
    python.write_text(
        '#!/bin/sh\n[ "$3" = numpy ] && echo 1.21.5 && exit\necho "ImportError: $3" >&2; exit 1\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(device_report, "SYSTEM", system)
    runtime = HostRuntime(settings)
    jetpack = JetPack("36.4.3", python, "3.10", "10.3.0", 87, "12.6")
    runtime.machine = Machine("arm64", has_gpu=False, l4t="36.4.3", board="NX", jetpack=jetpack)
    write_report(str(tmp_path / "report.json"), settings, runtime, [])
    report = read(tmp_path / "report.json")
    files = report["files"]
    assert files == {
        f"{system}/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3",
        f"{system}/proc/device-tree/compatible": "nvidia,p3768 nvidia,tegra234",
        f"{system}/sys/class/devfreq/17000000.gpu/cur_freq": "306000000",
    }
    own = report["environments"]["JetPack's own Python"]["imports"]
    assert own["numpy"] == "1.21.5"
    assert own["tensorrt"] == "failed: ImportError: tensorrt"


def test_the_newest_results_come_along(tmp_path: Path, settings: Settings) -> None:
    put(settings, "report", 1, verdict_json='{"outcome": "passed"}', report_html="<html>")
    for day in range(1, 9):
        put(settings, "engine", day, passport_json='{"difference": Infinity}', a_engine="x" * 9)
    put(settings, "profile", 2, profile_json="{broken")
    report = report_of(tmp_path, settings)
    results = report["results"]
    names = [each["names"][0] for each in results if each["kind"] == "engine"]
    assert names == [f"run.engine-{day}" for day in range(8, 2, -1)]
    documents = {each["kind"]: each["documents"] for each in results}
    assert documents == {
        "report": {"verdict.json": {"outcome": "passed"}},
        "engine": {"passport.json": {"difference": "Infinity"}},
        "profile": {"profile.json": "{broken"},
    }


def test_a_damaged_result_hides_no_other(tmp_path: Path, settings: Settings) -> None:
    put(settings, "engine", 1, passport_json="{}")
    for blob in (settings.artifacts / "blobs/sha256").glob("*"):
        if blob.read_bytes() == b"{}":
            blob.chmod(0o644)
            blob.write_bytes(b"[]")
    (found,) = report_of(tmp_path, settings)["results"]
    assert "damaged" in found["documents"]["passport.json"]


def test_what_failed_and_suites_come_along(tmp_path: Path, settings: Settings) -> None:
    job = settings.artifacts / "jobs/engine-orin-1"
    job.mkdir(parents=True)
    (job / "log.txt").write_text("many lines\n" * 1000 + "TypeError: pybind11\n")
    (job / "failure.json").write_text('{"message": "no GPU"}')
    (settings.artifacts / "gpu-tests.xml").write_text("<testsuites/>")
    report = report_of(tmp_path, settings)
    failed = report["failed"]["engine-orin-1"]
    assert failed["failure"] == '{"message": "no GPU"}'
    assert failed["log"].endswith("TypeError: pybind11")
    assert len(failed["log"].splitlines()) == last_results.LOG_LINES
    assert report["suites"] == {"gpu-tests.xml": "<testsuites/>"}


def test_no_secret_leaves_the_machine(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home/alice"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("UV_INDEX_URL", "https://alice:sesame@x.test/simple")
    monkeypatch.setenv("A_TOKEN", "sesame")
    local = msgspec.structs.replace(settings, cache=home / "cache")
    detail = f"https://alice:sesame@x.test/simple and {home}/pictures, not {home}2"
    write_report(
        str(tmp_path / "report.json"), local, HostRuntime(local), [Finding("index", True, detail)]
    )
    text = (tmp_path / "report.json").read_text()
    assert "sesame" not in text
    assert f"{home}/" not in text
    assert f"https://x.test/simple and ~/pictures, not {home}2" in text


@pytest.mark.parametrize(
    ("name", "why"), [(".", "is a folder"), ("no/report.json", "there is no folder")]
)
def test_a_report_that_cannot_be_is_refused(
    tmp_path: Path, settings: Settings, name: str, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        write_report(str(tmp_path / name), settings, HostRuntime(settings), [])


def test_the_doctor_writes_the_report_of_a_machine_that_lacks_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "file/artifacts"))
    with pytest.raises(UserError, match="missing: store folder"):
        upkeep.show_doctor(str(tmp_path / "report.json"))
    found = read(tmp_path / "report.json")["findings"]
    assert not next(each for each in found if each["what"] == "store folder")["good"]
