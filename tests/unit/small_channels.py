"""A clone with a store of small bundles, which are judged by hand and promoted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from small_artifacts import PROVENANCE
from small_chains import WHO

from mmdet_jetson.bundles.contents import of_bundle
from mmdet_jetson.config.settings import Settings, read_settings
from mmdet_jetson.contract.report import PASS
from mmdet_jetson.promotion import rolling_back
from mmdet_jetson.promotion.channel_file import channel_path, read_channel
from mmdet_jetson.promotion.identity import Identity
from mmdet_jetson.promotion.overriding import overrides_of
from mmdet_jetson.promotion.policy import Policy
from mmdet_jetson.promotion.promoting import Proposal, promote
from mmdet_jetson.promotion.records import Record
from mmdet_jetson.promotion.verdicts import Judged, Verdict
from mmdet_jetson.store import Bundle, Store
from mmdet_jetson.store.oci import digest_of

CHANNEL = "staging"
POLICY = Policy(fixed=("accuracy",))
PICTURES = digest_of(b"pictures")


def judged(gate: str, outcome: str = PASS, subject: str = "") -> Judged:
    return Judged(gate=gate, outcome=outcome, sentence=f"It says {outcome}.", subject=subject)


@dataclass(frozen=True)
class Clone:
    """A folder with ``channels/`` and ``artifacts/``; ``who`` works in it."""

    folder: Path
    who: str = WHO

    @property
    def settings(self) -> Settings:
        environ = {
            "MMDET_JETSON_CHANNELS": str(self.folder / "channels"),
            "MMDET_JETSON_ARTIFACTS": str(self.folder / "artifacts"),
        }
        return read_settings(environ)

    @property
    def store(self) -> Store:
        return Store(self.folder / "artifacts")

    @property
    def path(self) -> Path:
        return channel_path(self.settings, CHANNEL)

    @property
    def records(self) -> tuple[Record, ...]:
        return read_channel(self.path)

    def bundle(self, name: str, size: int = 10) -> Bundle:
        """A bundle of one file under a name, which is of that name alone."""
        if found := self.store.bundle(name):
            return found
        files = self.folder / f"files-{name}"
        files.mkdir(parents=True)
        (files / "best.pth").write_bytes(name.encode() * size)
        made = self.store.put("checkpoint", files, PROVENANCE, [])
        return self.store.put_bundle([made.descriptor], {}, [name])

    def verdict(self, name: str, *gates: Judged, seen: Sequence[Record] = ()) -> Verdict:
        return Verdict(
            bundle=self.bundle(name).digest,
            channel=CHANNEL,
            policy=msgspec.to_builtins(POLICY),
            policy_digest=POLICY.digest,
            incumbent=seen[-1].bundle if seen else "",
            validation=PICTURES,
            judged_before=len(seen),
            gates=gates or (judged("size", subject="pc"),),
        )

    def proposal(
        self,
        name: str,
        *gates: Judged,
        seen: Sequence[Record] | None = None,
        override: Sequence[str] = (),
        release: bool = False,
        reason: str = "",
    ) -> Proposal:
        seen = self.records if seen is None else seen
        verdict = self.verdict(name, *gates, seen=seen)
        because = "I have looked" if override else ""
        return Proposal(
            contents=of_bundle(self.store, self.bundle(name), name),
            channel=CHANNEL,
            policy=POLICY,
            verdict=verdict,
            seen=seen,
            identity=Identity(self.who),
            reason=reason or f"{name} is better",
            overrides=overrides_of(verdict, POLICY, override, self.who, because),
            release=release,
        )

    def promote(self, *names: str) -> Record:
        """Promote some bundles, one after the other; the last record."""
        for name in names:
            record = promote(self.settings, self.store, self.proposal(name))
        return record

    def rollback(self, to: int | None = None, reason: str = "it broke") -> Record:
        return rolling_back.rollback(
            self.settings,
            self.store,
            CHANNEL,
            self.records,
            Identity(self.who),
            to=to,
            reason=reason,
        )

    def release(self, reason: str = "mended") -> Record:
        return rolling_back.release(
            self.settings, self.store, CHANNEL, self.records, Identity(self.who), reason=reason
        )

    def tags(self) -> dict[str, str]:
        """The channel's tags with the names of the bundles that they name."""
        tags = self.store.tags()
        names = {each.digest: tag for tag, each in tags.items() if not tag.startswith("channel-")}
        return {
            tag: names[each.digest]
            for tag, each in sorted(tags.items())
            if tag.startswith("channel-")
        }
