"""Two runs at once, and a run in which nothing changed."""

from commands import Commands


def states(status: str) -> dict[str, str]:
    """Read the table of `invoke status`: each step with its state."""
    rows = [line.split("│")[:2] for line in status.splitlines() if "│" in line]
    return {step.strip(): state.strip() for step, state in rows}


def words(status: str) -> set[str]:
    return set(states(status).values())


def test_two_runs_at_once_compute_everything_once(commands: Commands) -> None:
    runs = [commands.start("pipeline"), commands.start("pipeline")]
    said = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert "waiting: another run is making it" in "".join(said)
    for step in ("dataset", "train", "report"):
        lines = [line for text in said for line in text.splitlines() if f"✓ {step} " in line]
        assert len(lines) == 2
        assert sum("done in" in line for line in lines) == 1, lines
    assert commands.run("verify").returncode == 0
    assert commands.unfinished_jobs() == []


def test_nothing_changed_runs_nothing(tiny_run: Commands) -> None:
    before = (tiny_run.artifacts / "index.json").read_bytes()
    again = tiny_run.run("pipeline")
    assert again.returncode == 0
    assert "done in" not in again.stdout + again.stderr
    assert (tiny_run.artifacts / "index.json").read_bytes() == before


def test_status_and_why_name_what_a_change_costs(tiny_run: Commands) -> None:
    assert words(tiny_run.run("status").stdout) == {"cached"}
    changed = tiny_run.run("why", "profile", "--set", "profile.samples=300").stdout
    assert "profile-pc-onnxruntime: missing" in changed
    assert "parameter samples: was 200, is 300" in changed
    status = tiny_run.run("status", "--set", "train.seed=7").stdout
    assert states(status)["dataset"] == "cached"
    assert states(status)["train"] == "missing"
    assert states(status)["export-pc-onnxruntime"] == "waiting"


def test_the_table_ends_with_the_report(tiny_run: Commands) -> None:
    shown = tiny_run.run("pipeline").stdout
    assert "engine pc-onnxruntime" in shown
    assert "ms" in shown
    page = tiny_run.artifacts / "reports/tiny.html"
    assert page.exists()
    assert "tiny.html" in "".join(shown.split())  # a long path takes several lines


def test_a_failed_gate_is_an_exit_code(tiny_run: Commands) -> None:
    failed = tiny_run.run("pipeline", "--set", "gates.min_AP50=1.0")
    assert failed.returncode == 3
    assert "error: the verdict is fail" in failed.stderr


def test_too_little_evidence_is_an_exit_code_of_its_own(tiny_run: Commands) -> None:
    unproven = tiny_run.run("pipeline", "--set", "gates.max_AP_difference=1.0")
    assert unproven.returncode == 4
    assert "error: the verdict is inconclusive" in unproven.stderr


def test_gc_keeps_what_a_name_holds(tiny_run: Commands) -> None:
    assert tiny_run.run("pipeline").returncode == 0
    assert tiny_run.run("gc", "--days", "0", env={"DOCKER_HOST": "unix:///nowhere"}).returncode == 0
    assert words(tiny_run.run("status").stdout) == {"cached"}
