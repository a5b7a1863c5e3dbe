"""Files that an artifact takes from where they lie, and what a run leaves for the next."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeRuntime, Quiet, dataset_step, everywhere

from mmdet_jetson.contract.job import read_job, write_job
from mmdet_jetson.contract.records import ContractError
from mmdet_jetson.contract.taken import read_taken, write_taken
from mmdet_jetson.errors import UserError
from mmdet_jetson.fetching.digests import tree_digest, tree_files
from mmdet_jetson.planning.steps import ExternalInput, Step
from mmdet_jetson.running.run_step import RunContext, run_step
from mmdet_jetson.runtimes.protocol import StageRun
from mmdet_jetson.store import Store


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    (folder / "out.txt").write_text("labels")
    (folder / "images/a.jpg").write_bytes(b"a picture")
    return folder


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def context(runtime: FakeRuntime, tmp_path: Path) -> RunContext:
    return RunContext(everywhere(runtime), Store(tmp_path / "artifacts"), Quiet())


@pytest.fixture
def step(mine: Path, tmp_path: Path) -> Step:
    cache = tmp_path / "digests.sqlite"
    source = ExternalInput(
        lambda: tree_digest(mine, cache),
        lambda _: mine,
        files=lambda key: tree_files(mine, cache, key),
    )
    return dataset_step(inputs={"source": source})


def take(stage: StageRun) -> None:
    write_taken(stage.folder, {"train/b.jpg": ("source", "images/a.jpg")})


def test_a_file_is_read_from_where_it_lies(
    context: RunContext, runtime: FakeRuntime, step: Step, mine: Path, tmp_path: Path
) -> None:
    told: list[object] = []

    def look(stage: StageRun) -> None:
        told.append(json.loads((stage.folder / "digests.json").read_text()))
        take(stage)
        stage.folder.joinpath("elsewhere").mkdir()
        stage.folder.joinpath("elsewhere/out.txt").write_text("labels")
        write_job(  # as a runtime does whose container has its inputs in other folders
            stage.folder, replace(read_job(stage.folder), inputs={"source": "elsewhere"})
        )

    runtime.before_run = look

    made = run_step(step, context, {})

    context.store.checkout(made, tmp_path / "out")
    assert (tmp_path / "out/train/b.jpg").read_bytes() == b"a picture"
    own = mine / "images/a.jpg"
    assert own.stat().st_nlink == 1
    digest = hashlib.sha256(b"a picture").hexdigest()
    assert told == [
        {"source": {"images/a.jpg": digest, "out.txt": hashlib.sha256(b"labels").hexdigest()}}
    ]


def test_a_file_that_changed_meanwhile_is_not_stored(
    context: RunContext, runtime: FakeRuntime, step: Step, mine: Path
) -> None:
    def change(stage: StageRun) -> None:
        take(stage)
        (mine / "images/a.jpg").write_bytes(b"another picture")

    runtime.before_run = change

    with pytest.raises(UserError, match="an input changed while it was read"):
        run_step(step, context, {})
    assert context.store.tags() == {}


def test_an_input_that_changed_since_its_key_is_not_read(
    context: RunContext, runtime: FakeRuntime, step: Step, tmp_path: Path
) -> None:
    source = step.inputs["source"]
    assert isinstance(source, ExternalInput)
    other = replace(source, digest=lambda: "before")

    with pytest.raises(UserError, match="an input changed while it was read"):
        run_step(replace(step, inputs={"source": other}), context, {})
    assert runtime.runs == []


def test_a_stage_takes_nothing_that_it_was_not_told_of(
    context: RunContext, runtime: FakeRuntime, step: Step
) -> None:
    def lie(stage: StageRun) -> None:
        write_taken(stage.folder, {"train/b.jpg": ("source", "images/other.jpg")})

    runtime.before_run = lie

    with pytest.raises(UserError, match=r"took images/other\.jpg"):
        run_step(step, context, {})


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"a": 3}',
        '{"a": ["source"]}',
        '{"a": ["source", 3]}',
        '{"../a": ["source", "b"]}',
        '{"a": ["source", "b/../../c"]}',
        '{"/a": ["source", "b"]}',
    ],
)
def test_what_leads_elsewhere_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "taken.json").write_text(content)

    with pytest.raises(ContractError, match=r"taken\.json"):
        read_taken(tmp_path)


def test_the_next_run_finds_what_the_last_one_noted(
    context: RunContext, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not one in another environment, and no key depends on it."""
    found: list[str] = []

    def note(stage: StageRun) -> None:
        noted = stage.folder / "work/noted/file"
        found.append(noted.read_text() if noted.exists() else "")
        noted.parent.mkdir(exist_ok=True)
        noted.write_text(f"what {len(found)} noted")

    runtime.before_run = note
    for seed in (1, 2):
        run_step(replace(dataset_step(seed), remembers="noted"), context, {})
    runtime.environment = "lock-2"
    last = run_step(replace(dataset_step(3), remembers="noted"), context, {})

    assert found == ["", "what 1 noted", ""]
    assert len(list((context.store.root / "remembered").iterdir())) == 1
    assert context.store.find(f"cache.{last.provenance.key}")
    again = run_step(dataset_step(3), context, {})
    assert again.digest == last.digest
