"""A run becomes a bundle: what is in it, what it is called, and what is missing."""

import shutil
from pathlib import Path

import msgspec
import pytest
from small_artifacts import blob_of, found
from small_releases import INT8, OPENVINO, ORIN, PC, TARGETS, SmallRun, planned

from mmdet_jetson.bundles import making
from mmdet_jetson.bundles.belonging import contradictions
from mmdet_jetson.bundles.contents import PartName, contents_of, of_bundle, of_run
from mmdet_jetson.bundles.dataset_summary import is_summary
from mmdet_jetson.config.settings import Settings
from mmdet_jetson.errors import UserError
from mmdet_jetson.store import Bundle, Store
from mmdet_jetson.store.oci import Manifest


def bound(
    run: SmallRun, *only: str, with_dataset: bool = False, lacks: tuple[PartName, ...] = ()
) -> Bundle:
    chosen = making.choose(of_run(run.store, run.name), run.project, only, run.steps)
    making.check(chosen, run.project)
    made = making.bind(chosen, lacks, with_dataset=with_dataset)
    run.store.tag(made, f"{run.name}.bundle")
    return made


def index_of(store: Store, bundle: Bundle) -> Manifest:
    return msgspec.json.decode(blob_of(store, bundle.digest).read_bytes(), type=Manifest)


def test_a_bundle_has_all_of_a_run_but_the_checks(run: SmallRun) -> None:
    bundle = bound(run)

    contents = of_bundle(run.store, bundle, "it")

    before = ("check", "rehearsal")
    had = {part for part in of_run(run.store, run.name).parts if part.kind not in before}
    assert set(contents.parts) == had
    assert contents.targets == sorted(TARGETS)
    assert list(contradictions(contents)) == []


def test_its_index_alone_says_what_each_part_is(run: SmallRun) -> None:
    run.store.tag(run.made[f"export-{PC}"], f"demo.export-{INT8}")  # as targets that share one
    index = index_of(run.store, bound(run))

    said = [each.annotations or {} for each in index.manifests]
    engine = next(each for each in said if each.get("mmdet-jetson.subjects") == OPENVINO)
    titles = [each["org.opencontainers.image.title"] for each in said]
    assert engine["mmdet-jetson.kind"] == "onnx"
    assert f"engine {PC}" in titles
    assert f"onnx {PC}, {INT8}" in titles
    measured = [each for each in said if "mmdet-jetson.evidence" in each]
    assert {each["mmdet-jetson.kind"] for each in measured} == {"evaluation", "profile"}
    assert (index.annotations or {})["mmdet-jetson.targets"] == ",".join(sorted(TARGETS))


def test_the_same_parts_are_the_same_release(run: SmallRun, tmp_path: Path) -> None:
    shutil.copytree(run.store.root, tmp_path / "elsewhere")
    once, again = bound(run), bound(run)
    there = bound(SmallRun(Store(tmp_path / "elsewhere"), run.scratch, run.steps, run.project))

    assert once.digest == again.digest == there.digest


def test_other_parts_are_another_release(run: SmallRun) -> None:
    before = bound(run)
    run.make(f"profile-{PC}", created="2026-11-02T10:00:00+00:00")
    run.make("report")

    assert bound(run).digest != before.digest


def test_some_targets_alone(run: SmallRun) -> None:
    contents = of_bundle(run.store, bound(run, PC), "it")

    assert contents.targets == [PC]
    assert contents.get("evaluation", PC)
    assert not contents.get("evaluation", OPENVINO)


def test_an_engine_of_a_target_that_the_configuration_leaves_out_comes_along(
    run: SmallRun, settings: Settings
) -> None:
    project, _ = planned([PC], settings)
    chosen = making.choose(of_run(run.store, run.name), project, (), run.steps)

    assert chosen.targets == sorted(TARGETS)


def test_what_the_plan_has_and_the_store_has_not_is_missing(
    run: SmallRun, settings: Settings
) -> None:
    run.store.untag(f"demo.profile-{PC}")
    project, steps = planned([*TARGETS, ORIN], settings)
    chosen = making.choose(of_run(run.store, run.name), project, (), steps)

    lacks = making.missing(chosen, steps)

    assert lacks == [PartName("profile", PC), PartName("engine", ORIN)]
    index = index_of(run.store, bound(run, lacks=(PartName("engine", ORIN),)))
    assert (index.annotations or {})["mmdet-jetson.missing"] == f"engine {ORIN}"


def test_no_checkpoint_is_no_release(run: SmallRun) -> None:
    run.store.untag("demo.train")

    with pytest.raises(UserError, match=r"there is no demo\.train in ") as caught:
        bound(run)
    assert caught.value.hint == "invoke train"


def test_no_engine_is_no_release(run: SmallRun) -> None:
    run.store.untag(*(f"demo.engine-{target}" for target in TARGETS))

    with pytest.raises(UserError, match=r"run demo in .* has no engine for any target") as caught:
        bound(run)
    assert caught.value.hint == f"invoke engine --target {PC}"


def test_an_engine_whose_export_has_another_targets_name(run: SmallRun) -> None:
    run.store.untag(f"demo.export-{INT8}")

    contents = of_bundle(run.store, bound(run), "it")

    assert contents.get("onnx", INT8) == contents.get("onnx", PC)


def test_an_engine_whose_export_is_not_there_is_refused(run: SmallRun) -> None:
    run.store.untag(f"demo.export-{OPENVINO}")

    with pytest.raises(UserError, match=f"demo.engine-{OPENVINO} was made from an ONNX that run"):
        bound(run)


def test_a_stale_run_is_refused(run: SmallRun) -> None:
    run.salt = "new"
    run.make("train")

    with pytest.raises(UserError, match=r"another checkpoint than demo\.train .*more: invoke show"):
        bound(run)


def test_what_is_left_of_another_configuration_stays_out(run: SmallRun) -> None:
    """No command would make it anew, so that a stale one would be refused for ever."""
    planned_now = [each for each in run.steps if each.subject != "documented"]
    run.make("export-documented", inputs={"checkpoint": "another"})

    chosen = making.choose(of_run(run.store, run.name), run.project, (), planned_now)

    assert not chosen.get("onnx", "documented")
    assert not chosen.get("evaluation", "documented")
    making.check(chosen, run.project)


def test_an_engine_for_a_target_that_is_no_longer_described_comes_with_its_evidence(
    run: SmallRun,
) -> None:
    others = {name: each for name, each in run.project.targets.items() if name != PC}
    project = msgspec.structs.replace(run.project, targets=others)
    planned_now = [each for each in run.steps if each.subject != PC]

    chosen = making.choose(of_run(run.store, run.name), project, (), planned_now)

    assert chosen.get("profile", PC)
    assert PC in chosen.targets


def test_pictures_stay_out_unless_asked_for(run: SmallRun) -> None:
    without = of_bundle(run.store, bound(run), "it")
    with_pictures = of_bundle(run.store, bound(run, with_dataset=True), "it")

    assert without.dataset
    assert is_summary(without.dataset)
    assert {layer.title for layer in without.dataset.layers} == {
        "left_out.json", "pictures.json", "summary.json", "train.json", "val.json",
    }  # fmt: skip
    assert with_pictures.dataset == found(run.store, "demo.dataset")


def test_evidence_about_a_twin_brings_the_twin(run: SmallRun) -> None:
    judged = run.made[f"engine-{PC}"]
    run.make(f"engine-{PC}", created="2026-11-02T10:00:00+00:00")

    contents = of_bundle(run.store, bound(run), "it")

    assert contents.get("engine", PC) == judged  # and not the one that the name moved to


def test_evidence_about_two_twins_brings_both(run: SmallRun) -> None:
    judged = run.made[f"engine-{PC}"]
    run.make(f"engine-{PC}", created="2026-11-02T10:00:00+00:00")
    run.make(f"profile-{PC}")
    run.make("report")

    bundle = bound(run)

    digests = {each.digest for each in bundle.parts}
    assert {judged.digest, found(run.store, f"demo.engine-{PC}").digest} <= digests
    contents = of_bundle(run.store, bundle, "it")
    assert contents.get("engine", PC) == found(run.store, f"demo.engine-{PC}")
    assert list(contradictions(contents)) == []


def test_tests_of_the_images_that_it_was_made_in_come_along(run: SmallRun, tmp_path: Path) -> None:
    run.make(f"profile-{PC}", facts={"image_digest": "sha256:1"})
    run.make("report")
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "junit.xml").write_text("<testsuites/>")
    made = msgspec.structs.replace(
        run.made["train"].provenance,
        stage="image-tests",
        inputs={"image": "sha256:1"},
        parameters={"image": "pc"},
    )
    tests = run.store.put("image-tests", folder, made, ["cache.image-tests.1"])
    other = msgspec.structs.replace(made, inputs={"image": "sha256:2"})
    run.store.put("image-tests", folder, other, ["cache.image-tests.2"])

    contents = of_bundle(run.store, bound(run), "it")

    assert contents.of_kind("image-tests") == {"pc": tests}


def test_an_engine_from_a_device_with_its_evidence(run: SmallRun) -> None:
    """What it was made from there has the content of what is here, and other digests."""
    later = "2026-11-03T10:00:00+00:00"
    device = SmallRun(run.store, run.scratch, run.steps, run.project)
    own = [f"{verb}-{PC}" for verb in ("engine", "evaluate", "prove", "profile")]
    for step in run.steps:
        if step.name in own or (PC not in step.name and step.name != "report"):
            device.make(step.name, tags=None if step.name in own else [], created=later)
        elif step.name == f"export-{PC}":
            device.make(step.name, tags=[], created=later)

    contents = of_bundle(run.store, bound(run), "it")

    assert device.made[f"export-{PC}"] != run.made[f"export-{PC}"]
    for name in own:
        made = device.made[name]
        assert made in contents.parts.values()
        assert made != run.made[name]


def test_a_bundle_is_found_by_its_name_and_its_digest(run: SmallRun) -> None:
    bundle = bound(run)

    by_name = contents_of(run.store, "demo.bundle")
    by_digest = contents_of(run.store, bundle.digest[7:19])

    assert by_name.bundle == by_digest.bundle == bundle
    assert by_name.parts == by_digest.parts


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mmdet-jetson.kind": "profile"}, "calls .* 'profile', and it is checkpoint"),
        ({"mmdet-jetson.subjects": "a\x1b[2J"}, "which is no name"),
    ],
)
def test_annotations_that_are_not_so_are_refused(
    run: SmallRun, change: dict[str, str], says: str
) -> None:
    part = msgspec.structs.replace(run.made["train"].descriptor, annotations=change)
    run.store.put_bundle([part], {}, ["forged"])

    with pytest.raises(UserError, match=says):
        contents_of(run.store, "forged")
