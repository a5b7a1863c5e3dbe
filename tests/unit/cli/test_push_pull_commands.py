"""`invoke push` and `invoke pull` as they are typed."""

import io
from pathlib import Path

import pytest
from in_process import Commands, Said, commands_of
from registry_server import RegistryServer
from rich.console import Console
from small_runs import Run, is_clean, manifests, small_run

from mmdet_jetson.cli.transfer import Bars
from mmdet_jetson.store import Descriptor, Store


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return small_run(tmp_path)


@pytest.fixture
def invoke(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Commands:
    """`invoke` in this process, on a store of that name; the exit code and what was printed."""
    invoke = commands_of(capsys)

    def run(store: str, *words: str) -> Said:
        monkeypatch.setenv("MMDET_JETSON_ARTIFACTS", str(tmp_path / store))
        return invoke(*words)

    return run


def test_there_and_back(run: Run, invoke: Commands, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/folder"
    code, said = invoke("artifacts", "push", "mugs", "--to", place)
    assert code == 0
    assert f"checkpoint mugs.train: {run.made['train'].digest}\n" in said
    assert said.endswith(
        f"pushed mugs: 4 manifests, 9 of 9 blobs (2.3 MB of 2.3 MB sent) to {place}\n"
    )
    assert invoke("artifacts", "push", "mugs", "--to", place)[1].endswith(
        f"0 of 9 blobs (0.0 MB of 2.3 MB sent, the rest was there) to {place}\n"
    )
    code, said = invoke("second", "pull", "mugs", "--from", place)
    assert (code, said.splitlines()[-1]) == (
        0,
        f"pulled mugs: 4 manifests, 9 of 9 blobs (2.3 MB of 2.3 MB read) from {place}",
    )
    assert manifests(Store(tmp_path / "second")) == manifests(run.store)
    assert is_clean(Store(tmp_path / "second"))


def test_a_name_that_moves_is_told(run: Run, invoke: Commands, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/folder"
    invoke("artifacts", "push", "mugs.train", "--to", place)
    engine = run.made["engine-pc"]
    run.store.tag(engine, "mugs.train")
    assert "  mugs.train named" not in invoke("second", "pull", "mugs.train", "--from", place)[1]
    said = invoke("artifacts", "pull", "mugs.train", "--from", place)[1]
    assert f"\n  mugs.train named {engine.digest} here before\n" in said


def test_without_evidence(run: Run, invoke: Commands, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/folder"
    said = invoke("artifacts", "push", "mugs.engine-pc", "--to", place, "--no-evidence")[1]
    assert "1 manifest, 3 of 3 blobs" in said
    invoke("artifacts", "push", "mugs", "--to", place)
    said = invoke("second", "pull", "mugs.engine-pc", "--from", place, "--no-evidence")[1]
    assert "1 manifest, 3 of 3 blobs" in said
    assert "3 manifests" in invoke("second", "pull", "mugs.engine-pc", "--from", place)[1]


def test_a_tag_in_the_place(run: Run, invoke: Commands, tmp_path: Path) -> None:
    place = f"oci-archive:{tmp_path}/mugs.tar:v1"
    said = invoke("artifacts", "push", "mugs.train", "--to", place)[1]
    assert said.startswith(f"checkpoint v1: {run.made['train'].digest}\n")
    said = invoke("second", "pull", place)[1]
    assert "pulled v1: " in said
    assert Store(tmp_path / "second").tags()["v1"].digest == run.made["train"].digest


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("push mugs", "error: no place is named\n  try: --to PLACE: docker://"),
        ("push mugs --to folder", "error: 'folder' is not the name of a place"),
        ("push mugs --to h.example/a/b", "try: docker://h.example/a/b\n"),
        ("push mugs --to oci:", "it names no path"),
        ("push mugs --to oci:a:b:c", "'b:c' is no tag"),
        ("push mugs --to oci:STORE", "is this machine's store"),
        ("push mugs --to oci-archive:STORE/x.tar", "is inside this machine's store"),
        (f"push mugs --to docker://h.example/a@sha256:{'0' * 64}", "docker://h.example/a is named with a digest"),
        (f"push mugs --to docker://h.example/a:v1@sha256:{'0' * 64}", "--to docker://h.example/a:TAG\n"),
        ("push mags --to oci:NEW", "nothing in the store is called 'mags'\n  try: did you mean 'mugs'?"),
        ("pull mugs --from oci:NEW", "there is no OCI layout at"),
        ("pull oci:STORE", "does not say what to pull"),
        ("pull oci:STORE:mugs.train --from oci:STORE", "names a place, and so does --from"),
        ("pull mugs.train --from oci:STORE:v1", "both say what to pull"),
        ("pull mugs --from=", "error: --from is empty"),
    ],
)  # fmt: skip
def test_what_is_refused(
    run: Run, invoke: Commands, tmp_path: Path, words: str, sentence: str
) -> None:
    words = words.replace("STORE", str(run.store.root)).replace("NEW", str(tmp_path / "new"))
    code, said = invoke("artifacts", *words.split(" "))
    assert code
    assert sentence in said
    assert said.startswith("error: ")
    assert not (tmp_path / "new").exists()


def test_a_store_is_needed_to_push(invoke: Commands, tmp_path: Path) -> None:
    code, said = invoke("none", "push", "mugs", "--to", f"oci:{tmp_path}/folder")
    assert (code, "there is no store at" in said) == (1, True)


def test_the_registry_of_the_configuration(
    run: Run, invoke: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMDET_JETSON_CACHE", str(tmp_path / "cache"))
    with RegistryServer() as server:
        place = server.place("team/mugs")
        configured = ["--config", "configs/demo.toml", "--set", f"store.registry={place}"]
        code, said = invoke("artifacts", "push", "mugs", *configured)
        assert (code, said.endswith(f"to {place}\n")) == (0, True), said
        code, said = invoke("second", "pull", "mugs.train", *configured)
        assert (code, said.endswith(f"from {place}\n")) == (0, True), said
        said = invoke("third", "pull", f"{place}@{run.made['train'].digest}")[1]
        assert f"checkpoint {run.made['train'].digest}\n" in said
        configured[-1] += ":v1"
        assert "names one thing in a repository" in invoke("second", "pull", "mugs", *configured)[1]
        count = len(server.asked)
        monkeypatch.setenv("MMDET_JETSON_OFFLINE", "1")
        code, said = invoke("fourth", "pull", "mugs", "--from", place)
        assert (code, "is not reached: MMDET_JETSON_OFFLINE is 1" in said) == (1, True), said
        assert len(server.asked) == count
    assert not (tmp_path / "fourth").exists()


def test_a_cancelled_command_says_how_to_go_on(
    run: Run, invoke: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Bars, "planned", cancel)
    code, said = invoke("artifacts", "push", "mugs", "--to", f"oci:{tmp_path}/folder")
    assert code == 130
    assert "cancelled; run the same command again to continue" in said


def test_bars_at_a_terminal() -> None:
    # Drawn on a console of its own: a thread draws on the bars' own at any moment.
    console = Console(file=io.StringIO(), width=100, record=True)
    blob = Descriptor(media_type="x", digest="sha256:" + "1" * 64, size=2 << 20)
    with Bars(Console(file=io.StringIO(), force_terminal=True, width=100)) as bars:
        bars.planned(2, 3 << 20)
        bars.begun(blob, 1 << 20)
        bars.moved(blob, 1 << 20)
        console.print(bars._bar.get_renderable())
        shown = console.export_text()
        bars.ended(blob)
    assert "2 blobs" in shown
    assert "111111111111" in shown
    assert "2.1/3.1 MB" in shown
