import re
from pathlib import Path

import pytest

from mmdet_jetson.registry.place import PlaceError
from mmdet_jetson.registry.reference import LayoutReference, RegistryReference, parse_place

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("docker://registry.example.com/team/mugs", RegistryReference("registry.example.com", "team/mugs")),
        ("docker://registry.example.com/mugs:v1.0_a-b", RegistryReference("registry.example.com", "mugs", "v1.0_a-b")),
        (f"docker://host:5000/mugs@{DIGEST}", RegistryReference("host:5000", "mugs", None, DIGEST)),
        (f"docker://host:5000/mugs:v1@{DIGEST}", RegistryReference("host:5000", "mugs", "v1", DIGEST)),
        ("docker://localhost/mugs", RegistryReference("localhost", "mugs")),
        ("docker://[::1]:5000/team/mugs:v1", RegistryReference("[::1]:5000", "team/mugs", "v1")),
        ("docker://127.0.0.1:5000/mugs", RegistryReference("127.0.0.1:5000", "mugs")),
        ("docker://Registry.Example.com/mugs", RegistryReference("registry.example.com", "mugs")),
        ("docker://mugs", RegistryReference("docker.io", "library/mugs")),
        (f"docker://mugs@{DIGEST}", RegistryReference("docker.io", "library/mugs", None, DIGEST)),
        ("docker://team/mugs:v1", RegistryReference("docker.io", "team/mugs", "v1")),
        ("docker://docker.io/mugs", RegistryReference("docker.io", "library/mugs")),
        ("docker://index.docker.io/team/mugs", RegistryReference("docker.io", "team/mugs")),
        ("oci:a/folder", LayoutReference(Path("a/folder"), is_archive=False)),
        ("oci:/a/folder:v1", LayoutReference(Path("/a/folder"), is_archive=False, tag="v1")),
        ("oci-archive:mugs.tar:v1", LayoutReference(Path("mugs.tar"), is_archive=True, tag="v1")),
    ],
)  # fmt: skip
def test_a_place(named: str, expected: RegistryReference | LayoutReference) -> None:
    assert parse_place(named) == expected


@pytest.mark.parametrize(
    ("named", "problem", "form"),
    [
        ("registry.example.com/mugs", "does not say what it is", "docker://registry.example.com/mugs"),
        ("localhost:5000/mugs:v1", "does not say what it is", "docker://localhost:5000/mugs:v1"),
        ("./folder", "does not say what it is", "oci:./folder"),
        ("/a/folder", "does not say what it is", "oci:/a/folder"),
        ("mugs", "does not say what it is", "oci:FOLDER"),
        ("", "does not say what it is", "docker://HOST"),
        ("https://registry.example.com/mugs", "without http", "docker://registry.example.com/mugs"),
        ("docker:registry.example.com/mugs", "two slashes", "docker://registry.example.com/mugs"),
        ("docker:///registry.example.com/mugs", "no repository", "lower-case letters"),
        ("docker://", "names no repository", "docker://HOST/REPOSITORY"),
        ("docker://localhost:5000", "names no repository", "docker://localhost:5000/REPOSITORY"),
        ("docker://localhost:5000/", "names no repository", "docker://localhost:5000/REPOSITORY"),
        ("docker://host.example/Team/mugs", "no capital letters", "docker://host.example/team/mugs"),
        ("docker://host.example/team//mugs", "is no repository", "lower-case letters"),
        ("docker://host.example/-mugs", "is no repository", "lower-case letters"),
        ("docker://host.example/mugs:", "is no tag", "letters, digits"),
        ("docker://host.example/mugs:.v1", "is no tag", "letters, digits"),
        (f"docker://host.example/mugs:{'v' * 129}", "is no tag", "at most 128"),
        ("docker://host.example/mugs@sha256:12ab", "is no digest", "64 digits"),
        (f"docker://host.example/mugs@sha512:{'0' * 128}", "is no digest", "64 digits"),
        (f"docker://host.example/mugs@{DIGEST.upper()}", "is no digest", "64 digits"),
        ("docker://host.example:99999/mugs", "is no host", "docker://HOST[:PORT]"),
        ("docker://host_name.example/mugs", "is no host", "docker://HOST[:PORT]"),
        ("docker://host.example/mugs\n", "is no repository", "lower-case letters"),
        (f"docker://host.example/{'m' * 256}", "over 255 characters", "a shorter one"),
        ("oci:", "names no path", "oci:FOLDER[:TAG]"),
        ("oci-archive::v1", "names no path", "oci-archive:FILE[:TAG]"),
        ("oci:folder:", "is no tag", "a path without a colon"),
        ("oci:folder:a/b", "is no tag", "a path without a colon"),
        ("oci://host.example/mugs", "an address, not a path", "docker://host.example/mugs"),
    ],
)  # fmt: skip
def test_what_is_no_place(named: str, problem: str, form: str) -> None:
    with pytest.raises(PlaceError, match=re.escape(problem)) as refused:
        parse_place(named)
    assert form in refused.value.hint


@pytest.mark.parametrize(
    "named",
    [
        "docker://potter:clay@host.example/mugs",
        "docker://potter:clay@host.example:5000/mugs:v1",
        "https://potter:clay@host.example/mugs",
        "oci://potter:clay@host.example/mugs",
        "docker:potter:clay@host.example/mugs",
        "potter:clay@host.example/mugs",
    ],
)
def test_a_password_in_a_name_is_not_shown(named: str) -> None:
    with pytest.raises(PlaceError) as refused:
        parse_place(named)
    assert "clay" not in str(refused.value).replace("docker://host", "")


def test_what_a_place_is_called_has_no_tag() -> None:
    assert parse_place("docker://host.example/mugs:v1").place == "docker://host.example/mugs"
    assert parse_place("oci-archive:mugs.tar:v1").place == "oci-archive:mugs.tar"


def test_a_digest_says_more_than_a_tag() -> None:
    named = parse_place(f"docker://host.example/mugs:v1@{DIGEST}")
    assert isinstance(named, RegistryReference)
    assert named.reference == DIGEST
