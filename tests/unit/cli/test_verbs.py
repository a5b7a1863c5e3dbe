"""The menu as users find it."""

from invoke.loader import FilesystemLoader

from mmdet_jetson.config.settings import ROOT


def test_tasks_of_one_name_hide_none_of_each_other() -> None:
    module, _ = FilesystemLoader(start=str(ROOT)).load("tasks")
    names = module.namespace.task_names
    assert {"demo", "test", "lint", "build-jetson-engine"} <= set(names)
    assert {"images.build", "images.test", "images.pin"} <= set(names)
