import shutil
from pathlib import Path

import pytest

from mmdet_jetson.config.hosts import hosts_of
from mmdet_jetson.config.pipeline import load_project
from mmdet_jetson.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
TWO = """
[hosts.orin-1]
address = "ssh://nvidia@orin-1"
targets = ["agx-orin-jp501"]

[hosts.orin-2]
address = "ssh://nvidia@orin-2"
targets = ["agx-orin-jp501", "orin-jp62"]
jobs = 2
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for name in ("pipeline.toml", "targets.toml", "sources.toml"):
        shutil.copy(CONFIGS / name, tmp_path)
    return tmp_path / "pipeline.toml"


def with_hosts(config: Path, hosts: str) -> Path:
    config.write_text(config.read_text() + hosts)
    return config


def test_a_target_may_have_several_hosts_and_most_have_none(config: Path) -> None:
    assert load_project(config).pipeline.hosts == {}
    hosts = load_project(with_hosts(config, TWO)).pipeline.hosts
    assert hosts_of(hosts, "agx-orin-jp501") == ["orin-1", "orin-2"]
    assert hosts_of(hosts, "orin-jp62") == ["orin-2"]
    assert hosts_of(hosts, "pc-onnxruntime") == []
    assert (hosts["orin-1"].jobs, hosts["orin-2"].jobs) == (None, 2)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("orin-jp62", "orin-jp26"), "hosts.orin-2.targets: 'orin-jp26' is not in targets.toml\n"
         "  try: did you mean 'orin-jp"),
        (("nvidia@orin-2", "nvidia@orin-1"), "is that of hosts.orin-1, too"),
        (("jobs = 2", "jobs = 0"), "hosts.orin-2.jobs: "),
        (("jobs", "job"), "unknown key 'hosts.orin-2.job'; did you mean 'jobs'"),
        (('targets = ["agx-orin-jp501"]', "targets = []"), "hosts.orin-1.targets: must not be empty"),
        (('address = "ssh://nvidia@orin-1"', ""), "hosts.orin-1.address is missing"),
    ],
)  # fmt: skip
def test_a_wrong_host_is_a_sentence(config: Path, changed: tuple[str, str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_project(with_hosts(config, TWO.replace(*changed)))
    assert told in str(caught.value)
