import json
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import msgspec
import pytest
from small_artifacts import PROVENANCE

from mmdet_jetson.cli import device_report, doctor, last_results, upkeep
from mmdet_jetson.cli.device_report import write_report
from mmdet_jetson.cli.findings import Finding
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.environments.this_machine import JetPack, Machine
from mmdet_jetson.errors import UserError
from mmdet_jetson.runtimes.host import HostRuntime
from mmdet_jetson.store import Store

Report = dict[str, Any]
SUITE = (
    '<testsuites><testsuite hostname="alices-orin"><testcase classname="test_gpu"'
    ' name="test_memory[NX]"/><testcase classname="test_gpu" name="test_session">'
    '<failure message="assert 1 == 2">a traceback</failure></testcase></testsuite></testsuites>'
)


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
    (settings.artifacts / "gpu-tests.xml").write_text(SUITE)
    (settings.artifacts / "cut.xml").write_text(SUITE[:90])
    report = report_of(tmp_path, settings)
    failed = report["failed"]["engine-orin-1"]
    assert failed["failure"] == '{"message": "no GPU"}'
    assert failed["log"].endswith("TypeError: pybind11")
    assert len(failed["log"].splitlines()) == last_results.LOG_LINES
    assert report["suites"]["gpu-tests.xml"] == {
        "test_gpu::test_memory[NX]": "passed",
        "test_gpu::test_session": ["failure: assert 1 == 2"],
    }
    assert report["suites"]["cut.xml"].startswith("no results of tests: ")


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
    assert "https://HOST/simple and ~/pictures, not " in text
    assert "alice" not in text


def test_groups_of_people_are_numbers(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getegid", lambda: 1002)
    monkeypatch.setattr("os.getgroups", lambda: [44, 1002])
    monkeypatch.setattr("grp.getgrgid", lambda n: SimpleNamespace(gr_name=f"name{n}"))
    assert report_of(tmp_path, settings)["user"]["groups"] == ["44 name44", "1002"]


def test_a_failed_or_cancelled_run_names_no_pictures(tmp_path: Path, settings: Settings) -> None:
    missing = "the picture is missing: train/via_region_data.json, john_doe_passport.jpg"
    for job, message in {"dataset-1": missing, "train-1": missing, "engine-1": ""}.items():
        folder = settings.artifacts / "jobs" / job
        folder.mkdir(parents=True)
        if message:
            (folder / "failure.json").write_text(json.dumps({"message": message}))
    put(settings, "dataset", 1, summary_json='{"folder": "john"}')
    by_picture = '{"john 1.jpg": 1, "john 2.jpg": 2}'
    put(settings, "proof", 1, proof_json=by_picture)
    report = report_of(tmp_path, settings)
    assert "john" not in json.dumps(report)
    assert list(report["failed"]) == ["train-1"]
    (proof,) = report["results"]
    assert proof["documents"]["proof.json"] == {"picture 0": 1, "picture 1": 2}


def test_the_name_of_a_docker_host_of_before_stays_here(tmp_path: Path, settings: Settings) -> None:
    put(settings, "image-tests", 1, junit_xml=SUITE, extra_json="{}")
    store = Store(settings.artifacts)
    (made,) = store.artifacts()
    facts = {"docker_host": "bobs-pc", "said": "of bobs-pc"}
    folder = tmp_path / "again"
    folder.mkdir()
    provenance = msgspec.structs.replace(made.provenance, facts=facts)
    store.put("image-tests", folder, provenance, ["run.again"])
    report = report_of(tmp_path, settings)
    assert "bobs-pc" not in json.dumps(report)
    assert {"docker_host": "HOST", "said": "of HOST"} in [
        each["provenance"]["facts"] for each in report["results"]
    ]
    assert ["junit.xml"] in [list(each["documents"]) for each in report["results"]]


def _there(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("elsewhere")
    else:
        path.write_text('{\n "written": 1}' if kind == "read-only" else "my thesis")
        path.chmod(0o444 if kind == "read-only" else 0o644)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("pipe", "no ordinary file"),
        ("link", "no ordinary file"),
        ("text", "no report"),
        ("read-only", "not to be written"),
    ],
)
def test_what_is_there_is_not_replaced(tmp_path: Path, kind: str, why: str) -> None:
    _there(tmp_path / "there", kind)
    with pytest.raises(UserError, match=why):
        upkeep.show_doctor(str(tmp_path / "there"))


def test_a_report_replaces_one_of_before(tmp_path: Path, settings: Settings) -> None:
    first = report_of(tmp_path, settings, Finding("one", True, ""))
    second = report_of(tmp_path, settings, Finding("two", True, ""))
    assert first["findings"] != second["findings"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".", "that is a folder"),
        ("no/report.json", "there is no folder"),
        ("x" * 300, "File name too long"),
        ("x" * 254, "File name too long"),
        ("/proc/x", "No such file or directory"),
        ("", "--report is empty"),
        ("artifacts/x.json", "--report artifacts/x.json is inside this machine's store"),
        ("link/x.json", "--report link/x.json is inside this machine's store"),
    ],
)
def test_a_report_that_cannot_be_is_refused(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings.artifacts.mkdir(exist_ok=True)
    Path("link").symlink_to(settings.artifacts)
    with pytest.raises(UserError, match=why):
        write_report(name, settings, HostRuntime(settings), [])


def test_what_cannot_be_read_hides_no_other_part(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", _closed)
    report = report_of(tmp_path, settings)
    assert "Permission denied" in report["disks"]
    assert report["machine"]["cpu"]


def _closed(path: Path) -> NoReturn:
    raise PermissionError(13, "Permission denied", str(path))


def test_the_doctor_looks_on_where_something_cannot_be_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYENV_ROOT", "/" + "x" * 300)  # as little to be looked into as /root
    monkeypatch.setattr("shutil.disk_usage", _closed)
    found = {each.what: each for each in doctor.examine(settings, HostRuntime(settings))}
    assert "Permission denied" in found["store folder"].detail
    assert {"environment deploy", "memory"} <= found.keys()


def test_a_piped_doctor_cuts_no_path(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/home/x/" + "deep/" * 60 + "deploy-17280a11b8ea4d2f"
    others = [
        Finding("environment deploy-rtx", True, "built at /x"),
        Finding("GPU", True, "deploy"),
    ]
    found = [Finding("environment deploy", True, f"built at {path}"), *others]
    monkeypatch.setattr(doctor, "examine", lambda *_: found)
    upkeep.show_doctor()
    page = (settings.root / "docs/device-first-day.md").read_text()
    (command,) = re.findall(r"invoke doctor \| awk '(.*)'\)", page)
    done = subprocess.run(
        ["awk", command], input=capsys.readouterr().out, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{path}\n"


def test_the_doctor_writes_the_report_of_a_machine_that_lacks_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / "file/artifacts"))
    with pytest.raises(UserError, match="missing: store folder"):
        upkeep.show_doctor(str(tmp_path / "report.json"))
    found = read(tmp_path / "report.json")["findings"]
    assert not next(each for each in found if each["what"] == "store folder")["good"]
