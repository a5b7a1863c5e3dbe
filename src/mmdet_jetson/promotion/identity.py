"""Who promotes: a person as git knows them, or in CI whoever started the run, and its address."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mmdet_jetson.errors import UserError
from mmdet_jetson.processes import ProcessFailed, output_of

_IDENTITY = re.compile(r"(.*\S *<[^<>]*>) [0-9]+ [+-][0-9]{4}")


class Identity(NamedTuple):
    """Name and address, and the address of the CI run; "" outside of CI."""

    who: str
    run: str = ""


def identity(environ: Mapping[str, str], root: Path) -> Identity:
    """Tell who runs this command.

    Raises:
        UserError: git does not know it.
    """
    return _in_ci(environ) or Identity(_in_git(root))


def _in_ci(environ: Mapping[str, str]) -> Identity | None:
    """What GitHub and GitLab say of who started a run: a commit's author may be anybody."""
    if environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_ACTOR"):
        parts = [environ.get(f"GITHUB_{each}", "") for each in ("SERVER_URL", "REPOSITORY")]
        run = environ.get("GITHUB_RUN_ID", "")
        address = f"{'/'.join(parts)}/actions/runs/{run}" if run and all(parts) else ""
        return Identity(environ["GITHUB_ACTOR"], address)
    if environ.get("GITLAB_CI") == "true" and environ.get("GITLAB_USER_LOGIN"):
        return Identity(environ["GITLAB_USER_LOGIN"], environ.get("CI_JOB_URL", ""))
    return None


def _in_git(root: Path) -> str:
    # git would guess a name and an address of this machine, which tell nobody who it was.
    command = ["git", "-C", str(root), "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT"]
    try:
        told = _IDENTITY.fullmatch(output_of(command))
    except (ProcessFailed, UnicodeDecodeError) as error:
        raise _unknown() from error
    if not told:
        raise _unknown()
    return told[1]


def _unknown() -> UserError:
    return UserError(
        "a record says who made it, and git does not know you",
        'git config --global user.name "Your Name" && git config --global user.email you@...',
    )
