"""The known-bad engines of the proof, built, evaluated and proven for real, in a bundle.

`stages/test_known_bad_engines.py` has the gates of the report reject them. Here the very files that
these stages write are judged for a channel.
"""

import json
from copy import copy
from pathlib import Path

import pytest
from bad_detectors import BAD, graph
from built_engines import job
from proven_releases import NOW, ProvenRun
from small_releases import PC, as_json, planned, sha256
from test_known_bad_engines import REJECTED, STAGE, TOLERANCES, Run

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.contract.parameters.prove import ProveParameters
from mmdet_jetson.contract.report import FAIL, PASS
from mmdet_jetson.promotion.evidence import Case
from mmdet_jetson.promotion.judging import judge
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.promotion.verdicts import Verdict
from mmdet_jetson.stages import prove
from mmdet_jetson.store import Store

WEIGHTS = b"weights "  # as the checkpoint of `small_releases` has them


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = Run(tmp_path_factory.mktemp("good"))
    of_these_weights(made.good)
    return made


@pytest.fixture
def stages(good: Run, tmp_path: Path) -> Run:
    own = copy(good)
    own.folder = tmp_path / "stages"
    own.folder.mkdir()
    return own


def of_these_weights(exported: Path) -> Path:
    """Let an export be one of the checkpoint that lies beside it in the bundle."""
    described = json.loads((exported / "graph.json").read_text())
    described["checkpoint"] = {"sha256": sha256(WEIGHTS)}
    described["onnx"] = {"sha256": sha256((exported / "end2end.onnx").read_bytes())}
    (exported / "graph.json").write_bytes(as_json(described))
    return exported


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def evidence(folder: Path) -> dict[str, bytes]:
    """What a stage wrote, with the grade that a runtime would have told it."""
    found = files(folder)
    for name in found.keys() & {"metrics.json", "proof.json"}:
        found[name] = as_json({**json.loads(found[name]), "evidence": "measured"})
    return found


def judged(stages: Run, exported: Path, settings: Settings) -> Verdict:
    """Build, evaluate, prove, bundle, judge."""
    built = stages.engine(PC, exported)
    evaluated = stages.evaluate(built, PC)
    inputs = {
        "dataset": stages.dataset,
        "graph": exported,
        "documented_graph": stages.good,
        "checkpoint": stages.checkpoint,
        "documented": stages.checkpoint,
        "engine": evaluated,
    }
    proof = job(stages.folder, ProveParameters(PC, TOLERANCES), inputs, "proof")
    prove.run(proof)
    passport = json.loads((built / "passport.json").read_text())
    project, steps = planned((PC,), settings)
    scratch = stages.folder.parent / "made"
    scratch.mkdir()
    run = ProvenRun(Store(settings.artifacts), scratch, steps, project)
    run.own = {
        "dataset": files(stages.dataset),
        "evaluate-checkpoint": evidence(stages.checkpoint),
        f"export-{PC}": files(exported),
        f"engine-{PC}": {
            **files(built),
            "passport.json": as_json({**passport, "target": PC}),
        },
        f"evaluate-{PC}": evidence(evaluated),
        f"prove-{PC}": evidence(proof.output),
    }
    run.make_all()
    return judge(Case(run.bundle(), Policy(targets=(PC,)), "staging", None, NOW), 0)


def test_the_good_engine_passes(stages: Run, settings: Settings) -> None:
    found = judged(stages, stages.good, settings)

    assert [each.sentence for each in found.gates if each.outcome != PASS] == []


@pytest.mark.parametrize("kind", [kind for kind, (by, _) in REJECTED.items() if by != (STAGE,)])
def test_a_bad_one_is_rejected_by_agreement_alone(
    kind: str, stages: Run, settings: Settings
) -> None:
    exported = of_these_weights(graph(stages.folder / "wrong", BAD[kind].model()))

    found = judged(stages, exported, settings)

    assert [each.name for each in found.gates if each.outcome != PASS] == [f"agreement:{PC}"]
    (said,) = found.of(FAIL)
    reason = REJECTED[kind][1].replace("beyond", "too far apart")
    reason = reason.replace("in its graph and in the documented one", "of the two graphs")
    assert reason in said.sentence
