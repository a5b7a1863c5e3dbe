"""What gates judge by: a candidate's parts, what was measured of them, and the incumbent."""

from dataclasses import dataclass
from datetime import datetime

from mmdet_jetson.bundles.contents import Contents
from mmdet_jetson.promotion.accuracy import Matches
from mmdet_jetson.promotion.policy import Policy


@dataclass(frozen=True)
class Incumbent:
    """What is in the channel now, measured on the candidate's pictures.

    ``matches`` is None where it was not, and ``why_not`` says why, with what to run.
    """

    bundle: str
    name: str
    matches: Matches | None
    why_not: str = ""


@dataclass(frozen=True)
class Case:
    """A bundle to be judged for a channel at a time; ``incumbent`` is None for an empty channel."""

    contents: Contents
    policy: Policy
    channel: str
    incumbent: Incumbent | None
    now: datetime

    @property
    def targets(self) -> list[str]:
        """The targets that have to have an engine: the policy's, and then those of the bundle."""
        return list(dict.fromkeys([*self.policy.targets, *self.contents.targets]))
