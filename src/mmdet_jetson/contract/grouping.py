"""What `[dataset] group` can say: which pictures stay together where one folder is split."""

import re
from typing import Optional, Pattern

BY_NAMES, NO_GROUPS = "names", "none"
_KEY = re.compile(r"[A-Za-z_]\w*")


def is_key(group: str) -> bool:
    """Whether it names a key of the annotation file's picture entry, such as ``video_id``."""
    return group not in (BY_NAMES, NO_GROUPS) and _KEY.fullmatch(group) is not None


def pattern_of(group: str) -> Optional[Pattern[str]]:
    """The regular expression that it is, whose one group is what a picture's name tells of it.

    Raises:
        ValueError: it cannot be one, with why.
    """
    if group in (BY_NAMES, NO_GROUPS) or is_key(group):
        return None
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise ValueError(f"the regular expression has {pattern.groups} groups, not one")
    return pattern
