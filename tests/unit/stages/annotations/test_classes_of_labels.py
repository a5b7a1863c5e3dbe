import pytest

from mmdet_jetson.stages.annotations.findings import Defect, Findings
from mmdet_jetson.stages.annotations.records import (
    Labels,
    advise_renames,
    class_of,
    warn_of_unused_renames,
)

LABELS = Labels(("car", "big truck", " odd "), "label", None, rename={"Lorry": "big truck"})
IGNORING = Labels(("car",), "label", None, others="ignore", rename={"auto ": "car"})

READ: dict[str, tuple[str, Labels, str | None, bool]] = {
    "itself": ("car", LABELS, "car", False),
    "spaces-around": (" car\n", LABELS, "car", True),
    "spaces-that-the-class-has": (" odd ", LABELS, " odd ", False),
    "renamed": ("Lorry", LABELS, "big truck", False),
    "renamed-with-spaces-around": (" Lorry ", LABELS, "big truck", False),
    "renamed-as-written": ("auto ", IGNORING, "car", False),
    "another": ("bike", IGNORING, None, True),
    "nothing": ("", IGNORING, None, True),
}


@pytest.mark.parametrize(("text", "labels", "name", "warned"), READ.values(), ids=READ.keys())
def test_name_in_a_file_means_a_class(
    text: str, labels: Labels, name: str | None, warned: bool
) -> None:
    findings = Findings()
    assert class_of(text, labels, findings, "a.json") == name
    assert len(findings.warnings()) == warned


@pytest.mark.parametrize("labels", [LABELS, IGNORING])
def test_name_that_differs_in_case_is_refused_with_what_to_set(labels: Labels) -> None:
    """Even where others are left out: all objects of the class would go."""
    with pytest.raises(Defect, match='unknown class "Car"') as caught:
        class_of("Car", labels, Findings(), "a.json")
    assert 'rename = { "Car" = "car" } reads it so' in caught.value.hint
    assert ("leaves out" in caught.value.hint) is (labels is LABELS)


def test_unknown_name_says_what_to_set() -> None:
    with pytest.raises(Defect, match='unknown class "zebra"') as caught:
        class_of("zebra", LABELS, Findings(), "a.json")
    assert "the classes are: car, big truck" in caught.value.hint
    assert 'others = "ignore" in [dataset]' in caught.value.hint


def test_a_rename_of_what_no_file_has_is_told() -> None:
    labels = Labels(("mug",), "label", None, others="ignore", rename={"mgx": "mug", "cup ": "mug"})
    findings = Findings()
    for text in ("mgu", "mug", "cup "):
        class_of(text, labels, findings, "a.json")
    warn_of_unused_renames(labels, findings)
    assert findings.warnings()[-1] == (
        'renamed, but no object is called so: "mgx" (did you mean "mgu"?)'
    )


def test_unknown_names_get_one_hint_that_reads_them_all() -> None:
    labels = Labels(("Mug", "Glass"), "label", None)
    findings = Findings()
    for name in ("mug", " glass", "Mug", "zebra"):
        with findings.at("a.json"):
            class_of(name, labels, findings, "a.json")
    advise_renames(labels, findings)
    (hint,) = {defect.hint for defect in findings.defects}
    assert 'rename = { "glass" = "Glass", "mug" = "Mug" } in [dataset]' in hint
    assert 'others = "ignore"' in hint
