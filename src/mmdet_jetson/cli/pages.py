"""Pages that commands write: where, and whole or not at all."""

import re
from pathlib import Path

from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.errors import UserError
from mmdet_jetson.files import disk_errors, make_folder
from mmdet_jetson.store import Store


def write_page(page: str | bool, store: Store, name: str, text: str) -> Path:
    """Write a page where the user said, or under ``reports/`` of the store; gives the file.

    Raises:
        UserError: that is a folder, or cannot be written.
    """
    path = Path(page) if isinstance(page, str) else store.root / "reports" / f"{name}.html"
    if path.is_dir():
        raise UserError(f"{path} is a folder", "name a file: --page FILE")
    with disk_errors(path):
        make_folder(path.parent)
        write_whole(path, text.encode())
    return path


def file_name(name: str) -> str:
    """What a page about something is called, whatever that is called."""
    return f"show-{re.sub('[^A-Za-z0-9._-]', '-', name)}"
