import os
import re
import shutil
from dataclasses import fields, replace
from pathlib import Path

import pytest

from mmdet_jetson.config.pipeline import Gates, Proof, load_project
from mmdet_jetson.config.targets import PRECISIONS
from mmdet_jetson.config.toml import flatten
from mmdet_jetson.contract.gates import DEFAULT_TOLERANCES, GATES, Tolerances
from mmdet_jetson.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for name in ("pipeline.toml", "demo.toml", "targets.toml", "sources.toml"):
        shutil.copy(CONFIGS / name, tmp_path)
    return tmp_path / "pipeline.toml"


def test_the_shipped_configs_are_valid() -> None:
    for name in ("pipeline.toml", "demo.toml"):
        project = load_project(CONFIGS / name)
        assert project.pipeline.name == {"pipeline.toml": "balloon", "demo.toml": "demo"}[name]
        assert set(project.pipeline.targets) <= set(project.targets)


def test_a_project_is_frozen(config: Path) -> None:
    project = load_project(config)
    with pytest.raises(AttributeError):
        project.pipeline.training.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("assignment", "field", "value"),
    [
        ("train.epochs=3", "epochs", 3),
        ("train.device=cpu", "device", "cpu"),
        ('train.device="cpu"', "device", "cpu"),
        ("train.weights=", "weights", ""),
        ('train.overrides."optim_wrapper.optimizer.lr"=0.1', "overrides", {"optim_wrapper.optimizer.lr": 0.1}),
        ("train.overrides.optim_wrapper.optimizer.lr=0.1", "overrides", {"optim_wrapper": {"optimizer": {"lr": 0.1}}}),
    ],
)  # fmt: skip
def test_any_field_can_be_set(config: Path, assignment: str, field: str, value: object) -> None:
    assert getattr(load_project(config, [assignment]).pipeline.train, field) == value


def test_a_store_is_shared_through_no_registry_unless_one_is_named(config: Path) -> None:
    assert load_project(config).pipeline.store.registry is None
    named = load_project(config, ["store.registry=docker://127.0.0.1:5000/demo"])
    assert named.pipeline.store.registry == "docker://127.0.0.1:5000/demo"
    none = load_project(config, ["store.registry=docker://a/b", "store.registry="])
    assert none.pipeline.store.registry == ""


@pytest.mark.parametrize("value", ["nan", "-inf", "[0.1, [nan]]", "[{a = inf}]", "2020-01-01"])
def test_what_cannot_be_handed_to_a_training_is_refused(config: Path, value: str) -> None:
    expected = (
        r"pipeline\.toml: train\.overrides\.optim_wrapper\.lr: .* cannot be handed to a stage"
    )
    with pytest.raises(ConfigError, match=expected):
        load_project(config, [f"train.overrides.optim_wrapper.lr={value}"])


def test_one_key_of_a_table_is_set_without_losing_the_others(config: Path) -> None:
    train = load_project(config, ["dataset.train.pictures=elsewhere"]).pipeline.dataset.train
    assert train is not None
    assert (train.pictures, train.annotations) == (
        "elsewhere",
        "balloon/train/via_region_data.json",
    )


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.epohcs=3", "unknown key 'train.epohcs'; did you mean 'epochs'?"),
        ("trian.epochs=3", "unknown key 'trian'; did you mean 'train'?"),
        ("dataset.val.picture=x", "unknown key 'dataset.val.picture'; did you mean 'pictures'?"),
        ("dataset.qqq=1", "unknown key 'dataset.qqq'; one of: classes, format"),
        ("train.epochs=many", "train.epochs: expected a whole number, got text\n  try: write it without quotes and point, as 3"),
        ("train.epochs=0", "train.epochs: expected a whole number >= 1\n  try: set it to 1 or more"),
        ("input_size=[640,16]", "input_size[1]: expected a whole number >= 32"),
        ("input_size=[640]", "input_size: expected a list of length 2, got 1\n  try: list 2 of them"),
        ("gates.min_AP50=1.5", "gates.min_AP50: expected a number <= 1.0\n  try: set it to 1.0 or less"),
        ("gates.max_AP_difference=low", "gates.max_AP_difference: expected a number, got text"),
        ("gates.min_ap50=0.5", "unknown key 'gates.min_ap50'; did you mean 'min_AP50'?"),
        ("gates.proof=false", "gates.proof: expected a table, got true or false"),
        ("gates.proof.int4.box=0.1", "gates.proof: 'int4' is unknown; did you mean 'int8'?"),
        ("gates.proof.int8.boxes=0.1", "unknown key 'gates.proof.int8.boxes'; did you mean 'box'?"),
        ("gates.proof.int8.alone=2", "gates.proof.int8.alone: expected a number <= 1.0\n  try: set it to 1.0 or less"),
        ("evaluate.precision=0", "evaluate.precision: expected a number > 0"),
        ("evaluate.precision=90", "evaluate.precision: expected a number <= 1.0"),
        ("evaluate.precision=high", "evaluate.precision: expected a number, got text"),
        ("profile.samples=many", "profile.samples: expected a whole number, got text\n  try: write it without quotes and point, as 200, which is the least"),
        ("profile.samples=10", "profile.samples: expected a whole number >= 200"),
        ("profile.repeats=300", "unknown key 'profile.repeats'; it is called 'samples' now"),
        ("profile.seconds=-1", "profile.seconds: expected a number >= 0"),
        ("dataset.train.pictures=../train", "dataset.train.pictures: a path inside the source is relative"),
        ("dataset.val.pictures=a/..", "dataset.val.pictures: a path inside the source is relative"),
        ("dataset.val.annotations=/tmp/val.json", "dataset.val.annotations: a path inside the source is relative"),
        ("train.seed=-1", "train.seed: expected a whole number >= 0"),
        ("train.seed=4294967296", "train.seed: expected a whole number <= 4294967295"),
        ("name=a b", "name: a name has letters, digits"),
        ("name=cache", "name: 'cache' is reserved: it is what cached results are tagged with"),
        ("targets=[]", "targets: must not be empty"),
        ('targets=["pc-onxruntime"]', "'pc-onxruntime' is not in targets.toml\n  try: did you mean 'pc-onnxruntime'?"),
        ('targets=["pc-onnxruntime","pc-onnxruntime"]', "targets: a name is listed twice"),
        ('dataset.classes=["a","a"]', "dataset.classes: a name is listed twice"),
        ("dataset.classes=[]", "dataset.classes: must not be empty"),
        ("dataset.default_class=baloon", "'baloon' is not in dataset.classes\n  try: did you mean 'balloon'?"),
        ("dataset.others=ignored", "dataset.others: "),
        ('dataset.rename={car="baloon"}', "dataset.rename: 'car': 'baloon' is unknown; did you mean 'balloon'?"),
        ("dataset.rename={car=3}", "dataset.rename"),
        ("dataset.rename={balloon='baloon'}", "the name in the files comes first: rename = { 'baloon' = 'balloon' }"),
        ("dataset.format=drawn", "dataset.drawn: needed for format 'drawn'"),
        ("dataset.format=COCO", "did you mean 'coco'?"),
        ("dataset.format=coko", "dataset.format: 'coko' is unknown; did you mean 'coco'?"),
        ("train.device=gpu", "train.device: 'gpu' is unknown; did you mean 'cuda'?"),
        ("dataset.source=", "dataset.source: must not be empty"),
        ('dataset.classes=[""]', "dataset.classes[0]: must not be empty"),
        ("dataset.split=0.2", "dataset.split: there is a dataset.val, so nothing is to be split"),
        ("dataset.split=1", "dataset.split: "),
        ("dataset.split=0", "dataset.split: "),
        ("dataset.split_seed=1", "dataset.split_seed: has no meaning without dataset.split"),
        ("dataset.group=none", "dataset.group: has no meaning without dataset.split"),
        ("dataset.drawn={train=1,val=1}", "dataset.drawn: has no meaning for format 'via'"),
        ("train.epochs", "--set train.epochs: not an assignment"),
        ("=3", "--set =3: not an assignment"),
        ("a b=3", "--set a b=3: 'a b' is not a key"),
        ("store.registry=registry.example.com/team", "store.registry: a registry is written docker://HOST/REPOSITORY"),
        ("store.registry=docker://registry.example.com", "store.registry: a registry is written docker://HOST/REPOSITORY"),
        ("store.regsitry=docker://a/b", "unknown key 'store.regsitry'; did you mean 'registry'?"),
        ("store.plain_http=yes", "store.plain_http: expected true or false"),
        ("store.ca=", "store.ca: must not be empty"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(config: Path, assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_project(config, [assignment])
    assert message in str(caught.value)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "assignment", ["profile.samples=many", "train={config='', epochs='x'}", "profile.repeats=3"]
)
def test_an_assignment_is_blamed_for_what_it_assigns(config: Path, assignment: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_project(config, ["evaluate.pictures=5", assignment])
    assert caught.value.message.startswith(f"--set {assignment}: ")
    config.write_text(config.read_text().replace("name =", "name_ ="))
    with pytest.raises(ConfigError) as caught:
        load_project(config, ["evaluate.pictures=5"])
    assert caught.value.message.startswith(f"{config}: ")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("pipeline.toml", b"name = ", "pipeline.toml: not valid TOML"),
        ("pipeline.toml", b"\xff\xfe", "pipeline.toml: not valid TOML"),
        ("pipeline.toml", b"", "pipeline.toml: name is missing\n  try: add name = ..."),
        (
            "pipeline.toml",
            b"name = 'a'\ninput_size = [96, 96]\ntargets = ['x']",
            "dataset is missing\n  try: add [dataset]",
        ),
        ("targets.toml", b'[pc-onnxruntime]\nbackend = "onnx"\ndescription = ""', "pc-onnxruntime"),
        ("targets.toml", b"[pc-onnxruntime]\nbakcend = 1", "did you mean 'backend'?"),
        (
            "targets.toml",
            b'[pc-onnxruntime]\nbackend = "onnxruntime"\ndescription = ""\nbatch = 2',
            "pc-onnxruntime: pictures of any size cannot share a batch of 2",
        ),
        ("sources.toml", b"[sources.x]\nulr = 'a'", "'sources.x.ulr'; did you mean 'url'?"),
        (
            "sources.toml",
            b"[sources.a]\nurl = '/a'\n[sources.b]\nurl = 1",
            "sources.b.url: expected",
        ),
        ("sources.toml", b"[source.x]\nurl = 'a'", "did you mean 'sources'?"),
    ],
)
def test_a_broken_file_is_named(config: Path, file: str, content: bytes, message: str) -> None:
    (config.parent / file).write_bytes(content)
    with pytest.raises(ConfigError, match=r"\.toml: ") as caught:
        load_project(config)
    assert message in str(caught.value)
    assert file in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml: no such file"):
        load_project(tmp_path / "nothing.toml")


def test_flatten_keeps_lists_and_empty_tables() -> None:
    assert flatten({"a": {"b": [1], "c": {}}, "d": 2}) == {"a.b": [1], "a.c": {}, "d": 2}


def test_flatten_leaves_what_is_added_whole() -> None:
    added = {"type": "EMAHook", "more": {"x": 1}}
    assert flatten({"+hooks.my": added}) == {"+hooks.my": added}
    assert flatten({"hooks": {"+my": added, "x": {"y": 2}}}) == {"hooks.+my": added, "hooks.x.y": 2}


def test_every_gate_can_be_stated_and_has_a_field_of_its_own() -> None:
    assert set(Gates.__struct_encode_fields__) == set(GATES)
    assert {field.name for field in fields(Tolerances)} == set(Proof.__struct_fields__)


def test_every_precision_has_tolerances_of_its_own() -> None:
    assert set(DEFAULT_TOLERANCES) == set(PRECISIONS)
    for precision, tolerances in DEFAULT_TOLERANCES.items():
        assert Gates().tolerances(precision) == tolerances


def test_what_is_stated_of_a_precision_changes_just_that(config: Path) -> None:
    gates = load_project(config, ["gates.proof.int8.alone=0.5", "gates.min_AP50=0"]).pipeline.gates

    assert gates.tolerances("int8") == replace(DEFAULT_TOLERANCES["int8"], alone=0.5)
    assert gates.tolerances("fp32") == DEFAULT_TOLERANCES["fp32"]
    assert gates.limits["min_AP50"] == 0


def test_gates_that_are_left_out_have_no_limit() -> None:
    assert Gates(max_ap_difference=0.1).limits == {"max_AP_difference": 0.1}
    assert Gates().limits == {}


@pytest.mark.parametrize("name", ["pipeline.toml", "targets.toml", "sources.toml"])
@pytest.mark.timeout(20)
def test_a_pipe_is_no_configuration(config: Path, name: str) -> None:
    (config.parent / name).unlink()
    os.mkfifo(config.parent / name)
    with pytest.raises(ConfigError, match=rf"{name}: cannot be read: it is a pipe") as caught:
        load_project(config)
    assert caught.value.hint


def one_folder(config: Path, *more: str) -> Path:
    """The shipped configuration with one split only, and lines added to ``[dataset]``."""
    lines = config.read_text().splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("val = "))
    config.write_text("\n".join([*lines[:at], *more, *lines[at + 1 :]]))
    return config


def test_what_validates_is_not_what_is_trained_on(config: Path) -> None:
    dataset = load_project(config).pipeline.dataset
    assert dataset.train is not None
    same = [
        f"dataset.val.{key}={getattr(dataset.train, key)}" for key in ("pictures", "annotations")
    ]
    with pytest.raises(ConfigError, match="names the same pictures and annotations"):
        load_project(config, same)


def test_one_folder_is_split(config: Path) -> None:
    dataset = load_project(one_folder(config, "split = 0.2")).pipeline.dataset
    assert (dataset.split, dataset.val, dataset.split_seed, dataset.group) == (
        0.2,
        None,
        None,
        None,
    )


def test_without_a_split_there_has_to_be_a_val(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.val: needed for format 'via'"):
        load_project(one_folder(config))


@pytest.mark.parametrize("group", ["names", "none", "video_id", "^(.*)_[0-9]+"])
def test_what_groups_can_be(config: Path, group: str) -> None:
    path = one_folder(config, "split = 0.2", "split_seed = 7", f"group = '{group}'")
    assert load_project(path).pipeline.dataset.group == group


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ("(", "dataset.group: it is no regular expression: missing"),
        ("frame-.*", "dataset.group: the regular expression has 0 groups, not one"),
        ("(a)(b)", "dataset.group: the regular expression has 2 groups, not one"),
    ],
)
def test_what_no_group_can_be(config: Path, group: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        load_project(one_folder(config, "split = 0.2", f"group = '{group}'"))


@pytest.mark.parametrize("said", ["others=ignore", 'rename={a="ellipse"}'])
def test_drawn_pictures_have_the_classes_they_have(config: Path, said: str) -> None:
    with pytest.raises(ConfigError, match=r"has no meaning for format 'drawn'"):
        load_project(config.with_name("demo.toml"), [f"dataset.{said}"])


def test_drawn_pictures_are_not_split(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.split: has no meaning for format 'drawn'"):
        load_project(config.with_name("demo.toml"), ["dataset.split=0.2"])


def test_processes_share_out_a_batch_that_is_known(config: Path) -> None:
    train = load_project(config, ["train.processes=2", "train.batch_size=12"]).pipeline.training
    assert (train.nodes, train.processes, train.batch_size) == (1, 2, 12)
    load_project(
        config,
        ["train.processes=2", 'train.overrides."train_dataloader.batch_size"=4'],
    )


@pytest.mark.parametrize(
    ("assignments", "sentence", "hint"),
    [
        (["train.processes=2"], "train.batch_size is not set", "all processes together"),
        (
            ["train.nodes=2", "train.processes=4", "train.batch_size=12"],
            "train.batch_size is 12, which 8 processes cannot share out evenly",
            "set train.batch_size to 8,",
        ),
        (
            ["train.processes=4", "train.batch_size=2"],
            "which 4 processes cannot share out evenly",
            "set train.batch_size to 4,",
        ),
        (
            [
                "train.processes=2",
                "train.batch_size=2",
                "train.overrides.train_dataloader.batch_size=3",
            ],
            "train.batch_size is 3, which 2 processes cannot share out evenly",
            "set train.batch_size to 2,",
        ),
        (["train.processes=0"], "train.processes", ""),
    ],
)
def test_a_batch_that_cannot_be_shared_out_is_refused(
    config: Path, assignments: list[str], sentence: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_project(config, assignments)
    assert sentence in error.value.message
    assert hint in error.value.hint
