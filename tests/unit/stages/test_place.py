"""Which process of its stage this one is."""

import pytest

from mmdet_jetson.contract.process import TASKS, WORLD
from mmdet_jetson.contract.ranks import death
from mmdet_jetson.stages.place import ALONE, STORE, Place, has_lost_others, place_of, starts_others

IN_AN_ALLOCATION = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS_PER_NODE": "4"}


def test_a_stage_is_one_process_unless_it_is_told_otherwise() -> None:
    assert place_of({**IN_AN_ALLOCATION, "RANK": "3", "WORLD_SIZE": "4"}) == ALONE
    assert place_of({WORLD: "1"}) == ALONE
    assert not starts_others({WORLD: "1"})
    assert ALONE.leads


def test_the_first_of_several_on_one_machine_starts_the_others() -> None:
    assert starts_others({**IN_AN_ALLOCATION, WORLD: "2"})
    assert not starts_others({WORLD: "2", STORE: "127.0.0.1:1"})
    assert not starts_others({WORLD: "2", TASKS: "1"})


def test_its_rank_is_told_by_torchrun_or_by_slurm() -> None:
    torchrun = {"RANK": "3", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    slurm = {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NTASKS_PER_NODE": "2"}
    place = Place(rank=3, world=4, local_rank=1, local_world=2)
    assert place_of({**torchrun, WORLD: "4"}) == place
    assert place_of({**slurm, WORLD: "4", TASKS: "1"}) == place
    assert place.nodes == 2
    assert not place.leads


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (
            RuntimeError(
                "[/b/third_party/gloo/gloo/transport/tcp/pair.cc:598] Connection closed by peer"
            ),
            True,
        ),
        (RuntimeError("NCCL communicator was aborted on rank 0."), True),
        (RuntimeError("Connection reset by peer"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ConnectionResetError("Connection reset by peer"), False),
    ],
)
def test_who_lost_another_process_is_not_the_culprit(error: Exception, lost: bool) -> None:
    assert has_lost_others(error) is lost


def test_a_death_is_told_with_its_last_words() -> None:
    killed = death(1, 4, -9, "epoch 3\nreading 7.jpg", "n2")
    assert killed.message == (
        "rank 1 on n2, one of its 4 processes, ended with signal SIGKILL, most often because memory"
        " ran out; the end of its log:\nepoch 3\nreading 7.jpg"
    )
    assert "newest checkpoint" in killed.hint
    assert death(0, 2, 1, " ").message == (
        "rank 0, one of its 2 processes, ended with exit code 1, without a word"
    )
    assert "signal 99" in death(0, 2, -99, "").message
