"""What `invoke doctor` says of one thing that it looked at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``needed`` tells whether `invoke demo` fails without it.

    On a Jetson it tells whether no engine can be built there without Docker.
    """

    what: str
    good: bool
    detail: str
    mend: str = ""
    needed: bool = True
