"""What an image gives its containers beside files, as Docker and Podman tell it."""

import pytest

from mmdet_jetson.containers.answers import ImageConfig, config_digest

CONFIG: ImageConfig = {
    "Labels": {"org.opencontainers.image.revision": "a"},
    "Env": ["PATH=/bin", "OMP_NUM_THREADS=2"],
    "Entrypoint": None,
    "Volumes": None,
    "WorkingDir": "/job",
}


@pytest.mark.parametrize(
    "change",
    [
        {"Env": ["PATH=/bin", "OMP_NUM_THREADS=1"]},
        {"Env": None},
        {"Entrypoint": ["nice"]},
        {"WorkingDir": "/"},
        {"Volumes": {"/data": {}}},
        {"Healthcheck": {"Test": ["CMD", "true"]}},
    ],
    ids=str,
)
def test_what_acts_on_a_stage_is_in_it(change: ImageConfig) -> None:
    assert config_digest({**CONFIG, **change}) != config_digest(CONFIG)


@pytest.mark.parametrize(
    "same",
    [
        {"Labels": {"org.opencontainers.image.revision": "b"}},
        {"Cmd": ["bash"], "User": "root", "Image": "sha256:1", "Hostname": "1"},
        {"Entrypoint": [], "Volumes": {}, "Healthcheck": None},
        {"Env": ["OMP_NUM_THREADS=2", "PATH=/bin"]},
    ],
    ids=str,
)
def test_an_image_that_was_built_again_is_the_same(same: ImageConfig) -> None:
    assert config_digest({**CONFIG, **same}) == config_digest(CONFIG)


def test_nothing_set_is_told_in_many_ways() -> None:
    docker: ImageConfig = {"Env": None, "Entrypoint": None, "Volumes": None, "WorkingDir": ""}
    podman: ImageConfig = {"WorkingDir": "/"}
    assert config_digest(docker) == config_digest(podman) == config_digest({})
