"""Several clients of one store, and what one of them must not miss of another."""

from typing import Any

import pytest
from fake_slurm import FakeCluster, Node, attach, train
from invoke.exceptions import Exit

from mmdet_jetson.planning.steps import Step
from mmdet_jetson.running.run_step import known
from mmdet_jetson.slurm import following, queue
from mmdet_jetson.slurm.chain import Chain
from mmdet_jetson.store import Artifact


def test_jobs_of_two_submissions_for_a_step_of_one_name_are_both_cancelled(
    cluster: FakeCluster,
) -> None:
    cluster.held = {"train"}
    for seed in (5, 6):
        with pytest.raises(Exit):
            train(f"train.seed={seed}", detach=True)
    submissions = {submission for submission, _ in queue.Queue(cluster, print).live()}
    assert len(submissions) == 2
    queue.cancel(submissions, cluster)
    assert all(state.has_ended for state in cluster.jobs.values())


def test_of_two_clients_one_submits_what_had_to_wait(
    cluster: FakeCluster, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both come to the training when what it waits for is made, by no job."""
    others = iter([attach])

    def look(step: Step, *of_step: Any) -> Artifact | None:
        found = known(step, *of_step)
        if step.name == "train":
            for other in others:
                other()
        return found

    monkeypatch.setattr(Chain, "may_send", lambda _, step, __: step.name != "train")
    monkeypatch.setattr(following, "known", look)
    train()
    assert [*map(cluster.step, cluster.jobs)].count("train") == 1
    assert node.runs.count("train") == 1
