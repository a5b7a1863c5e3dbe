"""The workflows to copy: their commands exist, and both files run the same ones."""

import itertools
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from invoke.collection import Collection
from invoke.exceptions import ParseError
from invoke.parser import Parser

from mmdet_jetson.cli.matrix import FORMS, Job, Spelling
from mmdet_jetson.cli.request import CONFIG, Request

ROOT = Path(__file__).resolve().parents[2]
GITHUB, GITLAB, TEMPLATES = (
    ROOT / f"examples/ci/{name}.yml" for name in ("github", "gitlab", "gitlab-detector")
)
INVOKE = re.compile(r"^ *\.venv/bin/invoke (.*?)(?: >[\w.]+)?$", re.MULTILINE)
JOBS = ["plan", "dataset", "train", "engine", "release", "promotion", "publish", "drift"]
BASH = (None, "bash")


def github_scripts(text: str, shells: tuple[str | None, ...] = BASH) -> dict[str, list[str]]:
    """The scripts of each job, those of these shells."""
    jobs = yaml.safe_load(text)["jobs"].items()
    return {
        name: [s["run"] for s in job["steps"] if "run" in s and s.get("shell") in shells]
        for name, job in jobs
    }


def gitlab_jobs() -> dict[str, dict[str, Any]]:
    """Every job of GitLab's, those of the child pipeline by the names of their templates.

    What a job extends and what all jobs have is in it, as GitLab puts it in.
    """
    templates, content = (yaml.safe_load(file.read_text()) for file in (TEMPLATES, GITLAB))
    assert content["include"] == [{"local": ".gitlab/detector.yml"}]
    listed = {**templates, **content}
    filled = {
        name.removeprefix("."): {
            **templates["default"],
            **listed.get(each.get("extends"), {}),
            **each,
        }
        for name, each in listed.items()
        if isinstance(each, dict) and "script" in each
    }
    return {name: filled[name] for name in JOBS}


def gitlab_scripts() -> dict[str, list[str]]:
    """The scripts of each job, between what all of them begin and end with."""
    return {
        name: [*job["before_script"], *job["script"], *job["after_script"]]
        for name, job in gitlab_jobs().items()
    }


SCRIPTS = {
    "github": github_scripts(GITHUB.read_text()),
    "gitlab": gitlab_scripts(),
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
    ours["gitlab"]["plan"] = [each.removesuffix(" gitlab") for each in ours["gitlab"]["plan"]]
    assert ours["github"] == ours["gitlab"]
    assert list(ours["github"]) == JOBS
    assert all(ours["github"].values())


def test_no_command_of_ours_is_overlooked() -> None:
    for files, jobs in (((GITHUB,), SCRIPTS["github"]), ((GITLAB, TEMPLATES), SCRIPTS["gitlab"])):
        found = [each for scripts in jobs.values() for each in invoked(scripts)]
        text = "\n".join(re.sub("`.*?`", "", file.read_text()) for file in files)
        assert len(found) == len(re.findall(r"bin/invoke|invoke ", text))


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


TARGET, NAME = "orin-jp62", "balloon"


def commands_of_the_matrix() -> dict[str, list[str]]:
    """What a job of each wave is told to type, by the code that lists them."""
    spell = Spelling(NAME, Request(config=CONFIG))
    told = {"dataset": spell.dataset(), "train": spell.pack(), "engine": spell.report(TARGET)}
    return {wave: [each.removeprefix("invoke ") for each in said] for wave, said in told.items()}


@pytest.mark.parametrize("system", SCRIPTS)
def test_jobs_type_what_the_matrix_says(system: str) -> None:
    for wave, said in commands_of_the_matrix().items():
        typed = invoked(SCRIPTS[system][wave])
        filled = [each.replace("$TARGET", TARGET).replace("$NAME", NAME) for each in typed]
        assert [shlex.split(each) for each in filled] == [shlex.split(each) for each in said]


def matrix(*targets: str) -> dict[str, list[Job]]:
    """One with a job in every wave."""
    engines = [Job("engine", target, [], ["report"], target) for target in targets]
    return {
        "dataset": [Job("dataset", "x64", [], ["dataset"])],
        "train": [Job("train", "gpu", [], ["train"])],
        "engine": engines,
    }


def test_a_matrix_is_what_github_reads() -> None:
    """What of it an expression names is there, and what runs by it is left out where it is empty."""
    _, write = FORMS["github"]
    whole, empty = write(matrix("a", "b")), write({wave: [] for wave in matrix()})
    assert [*whole] == [*empty] == ["dataset", "train", "engine"]
    jobs = yaml.safe_load(GITHUB.read_text())["jobs"]
    for wave, told in whole.items():
        assert isinstance(told, dict)
        job = jobs[wave]
        assert job["strategy"]["matrix"] == f"${{{{ fromJSON(needs.plan.outputs.matrix).{wave} }}}}"
        assert f"fromJSON(needs.plan.outputs.matrix).{wave}.include[0] != null" in job["if"]
        assert "plan" in job["needs"]
        named = set(re.findall(r"\bmatrix\.(\w+)", yaml.safe_dump(job)))
        assert {"labels", "timeout"} <= named <= set(told["include"][0])
        assert empty[wave] == {"include": []}


def test_a_wave_begins_when_those_before_it_have_ended_well() -> None:
    jobs = yaml.safe_load(GITHUB.read_text())["jobs"]
    waves = ["plan", "dataset", "train", "engine", "release"]
    for before, wave in itertools.pairwise(waves):
        needs = jobs[wave]["needs"]
        assert before in ([needs] if isinstance(needs, str) else needs)
        # By default a job is left out with the one before it, which may have had nothing to do.
        words = jobs[wave]["if"].removeprefix("${{ ")
        assert words.startswith("!cancelled() && !failure() && needs.plan.result == 'success'")
    stages = yaml.safe_load(TEMPLATES.read_text())["stages"]
    assert [gitlab_jobs()[wave]["stage"] for wave in waves] == waves == stages[:5]


def test_a_child_pipeline_of_gitlab_s_has_templates_for_all_of_it(tmp_path: Path) -> None:
    _, write = FORMS["gitlab"]
    child = write(matrix("a", "b"))
    templates = yaml.safe_load(TEMPLATES.read_text())
    for name, job in child.items():
        if name != "include":
            assert isinstance(job, dict)
            assert "script" in templates[job["extends"]]
            used = set(re.findall(r"\$(RUNNER|TARGET)", yaml.safe_dump(templates[job["extends"]])))
            assert all(used <= set(each) for each in job.get("parallel", {"matrix": []})["matrix"])
    # The trigger job holds that group until the child has ended.
    held = yaml.safe_load(GITLAB.read_text())["make"]
    assert held["trigger"]["strategy"] == "depend"
    assert held["resource_group"] not in [
        each.get("resource_group") for each in templates.values() if isinstance(each, dict)
    ]
    file = tmp_path / "jobs.yml"
    file.write_text(json.dumps(child))
    assert gitlab_schema(file) == 0


def gitlab_schema(file: Path) -> int:
    """Hold a file against GitLab's schema of pipelines."""
    words = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    program = Path(sys.executable).with_name("check-jsonschema")
    return subprocess.run([program, *words, file], capture_output=True, check=False).returncode


def test_gitlab_s_schema_finds_what_is_no_matrix(tmp_path: Path) -> None:
    file = tmp_path / "jobs.yml"
    file.write_text(json.dumps({"engine": {"script": ["true"], "parallel": {"matrix": "x"}}}))
    assert gitlab_schema(file) != 0


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
    rights = {name: jobs[name]["permissions"]["packages"] for name in JOBS}
    assert [name for name in JOBS if rights[name] == "read"] == ["plan", "promotion", "drift"]
    assert {*rights.values()} == {"read", "write"}
    assert all(job["timeout"] for job in gitlab_jobs().values())


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
        job, github_job = gitlab_jobs()[name], github["jobs"][name]
        on_github, on_gitlab = STARTS.get(name, STARTS["plan"])
        if "needs" in github_job:  # it waits for `plan`, and is left out with it
            assert "needs.plan.result == 'success'" in github_job["if"]
            assert "rules" not in job  # a pipeline that `make` triggers
            job = {**gitlab[gitlab["make"]["extends"]], **gitlab["make"]}
        else:
            assert re.findall(r"'(\w+)'", github_job["if"]) == on_github.split()
        (rule,) = job["rules"]
        assert re.findall(r'"(\w+)"', rule["if"]) == on_gitlab.split()


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
    """A device's job, and so what it holds, bears the target's name on both."""
    (device,) = matrix(TARGET)["engine"]
    assert (device.group, device.runner) == (f"device-{TARGET}", TARGET)
    github = yaml.safe_load(GITHUB.read_text())["jobs"]["engine"]
    assert github["concurrency"] == {"group": "${{ matrix.group }}", "cancel-in-progress": False}
    assert github["runs-on"] == "${{ matrix.labels }}"
    gitlab = gitlab_jobs()["engine"]
    assert (gitlab["resource_group"], gitlab["tags"]) == ("device-$TARGET", ["$RUNNER"])
    # GitHub lets one job of a group wait; a second one that waits would end it.
    _, write = FORMS["github"]
    entries = write(matrix("a", "b"))["engine"]
    assert isinstance(entries, dict)
    groups = [each["group"] for each in entries["include"]]
    assert len({*groups}) == len(groups)
