"""The commit of this clone."""

from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.processes import ProcessFailed, output_of


def git_commit() -> str:
    """The commit that is checked out, with ``+`` when the tree differs from it; "" outside git."""
    try:
        commit = output_of(["git", "-C", str(ROOT), "rev-parse", "HEAD"])
        changed = output_of(["git", "-C", str(ROOT), "status", "--porcelain"])
    except ProcessFailed:
        return ""
    return commit + ("+" if changed else "")
