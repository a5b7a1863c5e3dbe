"""What happens to a channel while nobody touches it: evidence ages, base images move on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from mmdet_jetson.config.images import Images
from mmdet_jetson.config.pipeline import Project
from mmdet_jetson.contract.report import PASS
from mmdet_jetson.errors import UserError
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.promotion.standing import Standing
from mmdet_jetson.registry.names import channel_tag
from mmdet_jetson.registry.workers import Workers


@dataclass(frozen=True)
class Drift:
    """Something that is no longer as it was, or, without ``is_sure``, that could not be looked at.

    ``about`` is a channel, or an image's base.
    """

    about: str
    what: str
    mend: str = ""
    is_sure: bool = True


def aged(
    standing: Standing, policy: Policy, now: datetime, project: Project | None = None
) -> Iterator[Drift]:
    """Evidence of what is in a channel that is older than its policy allows by now.

    What measures again is spelled for ``project``, if there is one.
    """
    if policy.max_evidence_days is None or standing.entered is None:
        return
    contents, channel = standing.contents, standing.channel
    if contents is None:
        what = (
            standing.why_not or "its bundle is not here, so nothing tells how old its evidence is"
        )
        yield Drift(channel, what, f"invoke pull {channel_tag(channel)}", is_sure=False)
        return
    # NumPy, without which a list of channels is there at once.
    from mmdet_jetson.promotion.evidence import case_of  # noqa: PLC0415
    from mmdet_jetson.promotion.gates import age  # noqa: PLC0415

    for said in age.judge(case_of(contents.store, contents, policy, channel, None, now)):
        if said.outcome != PASS:
            command = "profile --again"
            again = project.command(command) if project else f"invoke {command}"
            mend = f"measure again (`{again}`), bundle and promote"
            yield Drift(channel, said.sentence, mend)


def unasked(error: UserError, otherwise: str) -> str:
    """Why a registry was not asked; ``otherwise`` comes before what is no lack of a connection.

    What drifts is named beside it, so that the registry's name is not said again.
    """
    _, unreached, why = error.message.partition(": connecting: ")
    return why if unreached else f"{otherwise}: {error.message}"


def moved_bases(images: Images, look: Callable[[str], str | None]) -> list[Drift]:
    """The bases of images whose tags name something else in their registries than when pinned.

    ``look`` gives the digest that a reference names now; None for nothing.
    """
    pinned = [each for each in images.references() if each in images.pins]
    found = Workers().map(lambda reference: _moved(images, reference, look), pinned)
    return [each for each in found if each]


def _moved(images: Images, reference: str, look: Callable[[str], str | None]) -> Drift | None:
    pin = images.pins[reference]
    try:
        digest = look(reference)
    except UserError as error:
        return Drift(reference, unasked(error, "its registry was not asked"), "", is_sure=False)
    if digest == pin.digest:
        return None
    there = f"is {digest[7:19]} now" if digest else "is not there any more"
    return Drift(
        reference,
        f"it {there}, and was {pin.digest[7:19]} when it was pinned on {pin.resolved}",
        "invoke images.pin, and build anew; configs/images.lock says what is built on",
    )
