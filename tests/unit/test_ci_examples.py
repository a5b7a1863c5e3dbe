"""The workflows to copy: their commands exist, and both files run the same ones."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from invoke.collection import Collection
from invoke.exceptions import ParseError
from invoke.parser import Parser

ROOT = Path(__file__).resolve().parents[2]
GITHUB, GITLAB = (ROOT / f"examples/ci/{name}.yml" for name in ("github", "gitlab"))
INVOKE = re.compile(r"^ *\.venv/bin/invoke (.*?)(?: >[\w.]+)?$", re.MULTILINE)
JOBS = ["plan", "train", "engine", "release", "promotion", "publish", "drift"]
BASH = (None, "bash")


def github_scripts(text: str, shells: tuple[str | None, ...] = BASH) -> dict[str, list[str]]:
    """The scripts of each job, those of these shells."""
    jobs = yaml.safe_load(text)["jobs"].items()
    return {
        name: [s["run"] for s in job["steps"] if "run" in s and s.get("shell") in shells]
        for name, job in jobs
    }


def gitlab_scripts(text: str) -> dict[str, list[str]]:
    """The scripts of each job, between what all of them begin and end with."""
    content = yaml.safe_load(text)
    first, last = content["default"]["before_script"], content["default"]["after_script"]
    jobs = {n: each for n, each in content.items() if isinstance(each, dict) and "script" in each}
    return {name: [*first, *job["script"], *last] for name, job in jobs.items()}


SCRIPTS = {
    "github": github_scripts(GITHUB.read_text()),
    "gitlab": gitlab_scripts(GITLAB.read_text()),
}


def invoked(scripts: list[str]) -> list[str]:
    """The words after `invoke` of each command."""
    return [found for script in scripts for found in INVOKE.findall(script)]


@pytest.fixture(scope="module")
def menu() -> Collection:
    """The tasks of `tasks.py`."""
    namespace: Collection = runpy.run_path(str(ROOT / "tasks.py"))["namespace"]
    return namespace


def parse(menu: Collection, words: str) -> str:
    """Parse a command as Invoke does, and give the name of its task."""
    parsed = Parser(contexts=menu.to_contexts()).parse_argv(shlex.split(words))
    (task,) = parsed
    assert not task.missing_positional_args
    return str(task.name)


COMMANDS = sorted(
    {each for jobs in SCRIPTS.values() for job in jobs.values() for each in invoked(job)}
)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_is_one_of_ours(menu: Collection, words: str) -> None:
    assert parse(menu, words) == shlex.split(words)[0]


@pytest.mark.parametrize(
    "wrong", ["plan --jsn", "bundl", "build-jetson-engine", "pack x --sett a=1"]
)
def test_a_command_that_is_not_is_found(menu: Collection, wrong: str) -> None:
    with pytest.raises((ParseError, AssertionError, ValueError)):
        assert parse(menu, wrong) == wrong.split(maxsplit=1)[0]


def test_both_run_the_same() -> None:
    ours = {
        name: {job: invoked(each) for job, each in jobs.items()} for name, jobs in SCRIPTS.items()
    }
    assert ours["github"] == ours["gitlab"]
    assert list(ours["github"]) == JOBS
    assert all(ours["github"].values())


def test_no_command_of_ours_is_overlooked() -> None:
    for file, jobs in ((GITHUB, SCRIPTS["github"]), (GITLAB, SCRIPTS["gitlab"])):
        found = [each for scripts in jobs.values() for each in invoked(scripts)]
        assert len(found) == len(re.findall(r"bin/invoke|invoke ", file.read_text()))


def shellcheck(script: str) -> str:
    """What ShellCheck says of a script that a runner starts with `bash -e`."""
    done = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "--shell=bash", "--format=gcc", "-"],
        input=script, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


SHELL = sorted({script for jobs in SCRIPTS.values() for job in jobs.values() for script in job})


@pytest.mark.parametrize("script", SHELL)
def test_shellcheck_has_nothing_to_say(script: str) -> None:
    assert shellcheck(script) == ""


def test_shellcheck_finds_what_is_not_quoted() -> None:
    assert "SC2086" in shellcheck("docker logout $REGISTRY")


STEPS = [
    ("dataset", "", "train", ""), ("train", "", "train", ""), ("export", "pc", "train", "pc"),
    ("evaluate", "checkpoint", "train", ""), ("engine", "pc", "deploy", "pc"),
    ("engine", "orin", "deploy", "orin"), ("prove", "orin", "train", "orin"), ("report", "", "train", ""),
]  # fmt: skip


def outputs(folder: Path, states: dict[str, str]) -> dict[str, object]:
    """What the job `plan` tells the others, by the states of steps; else they are missing."""
    steps = [
        {"stage": stage, "state": states.get(stage, "missing"), "environment": environment,
         "target": {"name": target} if target else None}
        for stage, _, environment, target in STEPS
    ]  # fmt: skip
    (folder / "plan.json").write_text(json.dumps({"steps": steps}))
    (script,) = github_scripts(GITHUB.read_text(), ("python",))["plan"]
    told = folder / "output"
    subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env={"GITHUB_OUTPUT": str(told)}, check=True
    )
    pairs = (line.split("=", 1) for line in told.read_text().splitlines())
    return {name: json.loads(value) for name, value in pairs}


MADE = {"dataset": "not-needed", "train": "registry", "export": "registry", "evaluate": "here"}


@pytest.mark.parametrize(
    ("states", "trains"),
    [
        ({}, True),
        (MADE, False),
        ({**MADE, "train": "missing", "export": "waiting"}, True),
        ({**MADE, "evaluate": "damaged"}, True),
        ({**MADE, "engine": "elsewhere", "prove": "waiting", "report": "waiting"}, False),
    ],
    ids=["nothing", "all", "training", "evaluation", "device"],
)
def test_a_plan_decides_where_jobs_run(
    tmp_path: Path, states: dict[str, str], trains: bool
) -> None:
    assert outputs(tmp_path, states) == {"trains": trains, "targets": ["orin", "pc"]}


def actions(text: str) -> Iterator[str]:
    return (found[1] for found in re.finditer(r"uses: (\S+.*)", text))


def test_actions_are_pinned_as_in_our_own_workflow() -> None:
    ours = set(actions((ROOT / ".github/workflows/ci.yml").read_text()))
    used = set(actions(GITHUB.read_text()))
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v[\d.]+", each) for each in used)
    assert {each for each in used if not each.startswith("actions/cache@")} <= ours


def test_every_job_has_an_end_and_may_do_no_more_than_it_needs() -> None:
    jobs = yaml.safe_load(GITHUB.read_text())["jobs"]
    assert all(job["timeout-minutes"] for job in jobs.values())
    rights = {name: job["permissions"]["packages"] for name, job in jobs.items()}
    assert [name for name in JOBS if rights[name] == "read"] == ["plan", "promotion", "drift"]
    assert {*rights.values()} == {"read", "write"}
    gitlab = yaml.safe_load(GITLAB.read_text())
    assert all(
        "timeout" in {**gitlab.get(str(gitlab[name].get("extends")), {}), **gitlab[name]}
        for name in jobs
    )


# What starts each job: on GitHub and on GitLab.
STARTS = {
    "plan": ("push workflow_dispatch", "push web"),
    "promotion": ("pull_request", "merge_request_event"),
    "publish": ("push", "push"),
    "drift": ("schedule", "schedule"),
}


def test_each_job_is_started_by_what_it_is_for() -> None:
    github = yaml.safe_load(GITHUB.read_text())
    gitlab = yaml.safe_load(GITLAB.read_text())
    assert set(github[True]) == {"push", "pull_request", "schedule", "workflow_dispatch"}
    for name in JOBS:
        job, github_job = gitlab[name], github["jobs"][name]
        (rule,) = {**gitlab.get(job.get("extends"), {}), **job}["rules"]
        on_github, on_gitlab = STARTS.get(name, STARTS["plan"])
        assert re.findall(r'"(\w+)"', rule["if"]) == on_gitlab.split()
        # One that waits for others is left out with them.
        started = "needs" in github_job or re.findall(r"'(\w+)'", github_job["if"])
        assert started is True or started == on_github.split()


def test_nothing_of_a_stranger_s_reaches_a_machine_of_ours() -> None:
    jobs = yaml.safe_load(GITHUB.read_text())["jobs"]
    started = [name for name, job in jobs.items() if "needs" not in job]
    assert started == ["plan", "promotion", "publish", "drift"]
    by_strangers = [name for name in started if "pull_request" in jobs[name]["if"]]
    assert by_strangers == ["promotion"]
    assert jobs["promotion"]["runs-on"] == "ubuntu-22.04"
    assert jobs["promotion"]["permissions"] == {"contents": "read", "packages": "read"}


def test_what_channels_had_before_is_in_the_clone() -> None:
    github = yaml.safe_load(GITHUB.read_text())["jobs"]
    gitlab = yaml.safe_load(GITLAB.read_text())
    for name in ("promotion", "publish"):
        (clone,) = [s for s in github[name]["steps"] if "actions/checkout" in s.get("uses", "")]
        assert clone["with"]["fetch-depth"] == 0
        assert gitlab[gitlab[name]["extends"]]["variables"]["GIT_DEPTH"] == 0


def test_a_verdict_is_shown_where_it_blocks_as_well() -> None:
    github = yaml.safe_load(GITHUB.read_text())["jobs"]
    gitlab = yaml.safe_load(GITLAB.read_text())
    for name in ("promotion", "publish"):
        (shown,) = [s for s in github[name]["steps"] if "GITHUB_STEP_SUMMARY" in s.get("run", "")]
        assert shown["if"] == "always()"
    assert gitlab[".checks"]["artifacts"] == {
        "when": "always", "paths": ["promotion.md"], "reports": {"junit": "promotion.xml"},
    }  # fmt: skip


def test_a_device_has_one_job_at_a_time() -> None:
    github = yaml.safe_load(GITHUB.read_text())["jobs"]["engine"]
    assert github["concurrency"] == {
        "group": "device-${{ matrix.target }}",
        "cancel-in-progress": False,
    }
    assert github["runs-on"] == ["self-hosted", "${{ matrix.target }}"]
    gitlab = yaml.safe_load(GITLAB.read_text())["engine"]
    assert (gitlab["resource_group"], gitlab["tags"]) == ("device-$TARGET", ["$TARGET"])
