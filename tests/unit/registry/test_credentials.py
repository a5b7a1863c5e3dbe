import json
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdet_jetson.registry.credentials import Credentials, find_credentials
from mmdet_jetson.registry.place import PlaceError

HOST = "registry.example.com"
SECRET = "a secret of clay"


def entry(user: str, password: str = SECRET) -> dict[str, str]:
    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def write(home: Path) -> Callable[[str, object], Path]:
    def write_it(name: str, value: object) -> Path:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return write_it


@pytest.fixture
def helper(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes a credential helper of lines of Python."""
    monkeypatch.setenv("PATH", str(home / "bin"))

    def make(name: str, lines: str) -> None:
        path = home / f"bin/docker-credential-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"#!{sys.executable}\nimport sys, json\nserver = sys.stdin.read()\n{lines}\n"
        )
        path.chmod(0o755)

    return make


Write = Callable[[str, object], Path]
Helper = Callable[[str, str], None]


def user(host: str = HOST, repository: str = "team/mugs") -> str:
    found = find_credentials(host, repository)
    return found.user if found else ""


def test_nothing_is_known_without_a_configuration() -> None:
    assert find_credentials(HOST, "mugs") is None


def test_dockers_own_configuration(write: Write) -> None:
    path = write(".docker/config.json", {"auths": {HOST: entry("potter")}})
    assert find_credentials(HOST, "mugs") == Credentials(str(path), "potter", SECRET)
    assert user("other.example.com") == ""


def test_a_password_may_have_a_colon_and_letters_of_any_kind(write: Write) -> None:
    write(".docker/config.json", {"auths": {HOST: entry("potter", "ton:trüb")}})
    found = find_credentials(HOST, "mugs")
    assert found
    assert found.password == "ton:trüb"


def test_docker_hub_has_a_name_of_its_own(write: Write) -> None:
    write(".docker/config.json", {"auths": {"https://index.docker.io/v1/": entry("potter")}})
    assert user("docker.io") == "potter"


def test_a_token_of_identity(write: Write) -> None:
    write(".docker/config.json", {"auths": {HOST: {"identitytoken": "a token", **entry("potter")}}})
    found = find_credentials(HOST, "mugs")
    assert found
    assert (found.identity_token, found.password) == ("a token", "")


def test_another_folder(write: Write, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("elsewhere/config.json", {"auths": {HOST: entry("potter")}})
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "elsewhere"))
    assert user() == "potter"


def test_podmans_come_first_and_may_be_for_a_part_of_a_registry(write: Write) -> None:
    write(".docker/config.json", {"auths": {HOST: entry("dockers")}})
    path = write(
        "run/containers/auth.json",
        {
            "auths": {
                HOST: entry("podmans"),
                f"{HOST}/team": entry("teams"),
                f"{HOST}/te": entry("x"),
            }
        },
    )
    assert user() == "teams"
    assert user(repository="mugs") == "podmans"
    path.unlink()
    assert user() == "dockers"


def test_a_part_of_a_registry_is_not_the_whole(write: Write) -> None:
    write("run/containers/auth.json", {"auths": {f"{HOST}/other": entry("others")}})
    assert user() == ""


def test_a_named_file_is_the_only_one(
    write: Write, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(".docker/config.json", {"auths": {HOST: entry("dockers")}})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "none.json"))
    assert user() == ""


def test_helpers_are_asked(write: Write, helper: Helper) -> None:
    write(".docker/config.json", {"credsStore": "all", "credHelpers": {HOST: "one"}})
    helper("all", "print(json.dumps({'Username': 'of all', 'Secret': 's'}))")
    helper("one", "print(json.dumps({'Username': f'for {server}', 'Secret': 's'}))")
    assert user() == f"for {HOST}"
    assert user("other.example.com") == "of all"


def test_a_helper_may_have_a_token(write: Write, helper: Helper) -> None:
    write(".docker/config.json", {"credsStore": "all"})
    helper("all", "print(json.dumps({'Username': '<token>', 'Secret': 'a token'}))")
    found = find_credentials(HOST, "mugs")
    assert found
    assert (found.identity_token, found.user) == ("a token", "")


def test_a_helper_may_know_nothing(write: Write, helper: Helper) -> None:
    write(".docker/config.json", {"credsStore": "all", "auths": {HOST: entry("potter")}})
    helper("all", "print('credentials not found in native keychain'); sys.exit(1)")
    assert user() == "potter"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (None, "docker-credential-all not installed"),
        ("print('the keychain is locked'); sys.exit(1)", "the keychain is locked"),
        ("print('no json')", "cannot be read"),
        ("print('[]')", "cannot be read"),
        ("print('{}')", "cannot be read"),
    ],
)
def test_a_helper_that_fails(write: Write, helper: Helper, lines: str | None, words: str) -> None:
    path = write(".docker/config.json", {"credsStore": "all"})
    if lines:
        helper("all", lines)
    with pytest.raises(PlaceError) as failed:
        find_credentials(HOST, "mugs")
    assert str(path) in failed.value.message
    assert HOST in failed.value.message
    assert words in failed.value.message


@pytest.mark.parametrize(
    "value",
    [
        "{",
        "[]",
        {"auths": []},
        {"auths": {HOST: "potter"}},
        {"auths": {HOST: {"auth": "no base64!"}}},
        {"auths": {HOST: {"auth": b64encode(SECRET.encode()).decode()}}},
        {"auths": {f"{HOST}/team": {"auth": b64encode(SECRET.encode()).decode()}}},
        {"auths": {HOST: {"auth": 5}}},
        "[" * 100_000,
    ],
    ids=range(9),
)
def test_a_configuration_that_cannot_be_read(write: Write, value: object) -> None:
    path = write(".docker/config.json", value)
    with pytest.raises(PlaceError) as failed:
        find_credentials(HOST, "team/mugs")
    assert str(path) in failed.value.message
    assert SECRET not in str(failed.value)


def test_secrets_are_not_shown() -> None:
    assert SECRET not in repr(Credentials("file", "potter", SECRET, SECRET))
