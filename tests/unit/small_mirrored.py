"""A channel in a store and a file as commands leave it, of bundles of a few bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from small_artifacts import PROVENANCE
from small_chains import bundle_digest, following

from mmdet_jetson.promotion.chain import taken_back
from mmdet_jetson.promotion.channel_file import append
from mmdet_jetson.promotion.records import RELEASE, ROLLBACK, Record
from mmdet_jetson.promotion.verdicts import KIND, Judged, Verdict, encode
from mmdet_jetson.registry.names import channel_tag
from mmdet_jetson.store import Artifact, Bundle, Store

GATES = (Judged(gate="parts", outcome="pass", sentence="All parts are there."),)


@dataclass
class SmallChannel:
    """A channel, its file and its store. Each name of a bundle is another one, made on the spot."""

    store: Store
    path: Path
    records: list[Record] = field(default_factory=list)
    count: int = 0

    @property
    def name(self) -> str:
        return self.path.stem

    def put(
        self, kind: str, files: dict[str, bytes], subject: Artifact | Bundle | None
    ) -> Artifact:
        self.count += 1
        folder = self.store.root.parent / f"{self.store.root.name}-{self.name}-{self.count}"
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        provenance = msgspec.structs.replace(PROVENANCE, step=kind, key="")
        return self.store.put(kind, folder, provenance, (), subject.descriptor if subject else None)

    def bundle(self, name: str) -> Bundle:
        """The bundle of a name: an engine, and what was measured of that."""
        if found := self.store.bundle(name):
            return found
        engine = self.put("engine", {"engine.onnx": name.encode()}, None)
        evaluation = self.put("evaluation", {"figures.json": name.encode()}, engine)
        parts = [
            msgspec.structs.replace(each.descriptor, artifact_type=None, annotations=None)
            for each in (engine, evaluation)
        ]
        return self.store.put_bundle(parts, {}, [name])

    def verdict(
        self,
        bundle: Bundle,
        gates: Sequence[Judged] = GATES,
        changes: Mapping[str, object] | None = None,
    ) -> Artifact:
        said = Verdict(
            bundle=bundle.digest, channel=self.name, policy={}, policy_digest=bundle_digest("policy"),
            incumbent="", validation=bundle_digest("pictures"), judged_before=0, gates=tuple(gates),
        )  # fmt: skip
        said = msgspec.structs.replace(said, **(changes or {}))
        return self.put(KIND, {"verdict.json": encode(said)}, bundle)

    def promote(self, name: str, gates: Sequence[Judged] = GATES, **changes: object) -> Record:
        bundle = self.bundle(name)
        named = {"bundle": bundle.digest, "verdict": self.verdict(bundle, gates).digest}
        return self.add(following(self.records, name, **{**named, **changes}))

    def roll_back(self, to: int, **changes: object) -> Record:
        old = self.records[to - 1]
        undoes = taken_back(self.records, to)
        said = {"action": ROLLBACK, "restores": to, "undoes": undoes, "bundle": old.bundle}
        told = {**said, "verdict": old.verdict, "policy": old.policy, **changes}
        return self.add(following(self.records, old.name, **told))

    def release(self) -> Record:
        last = self.records[-1]
        said = {"bundle": last.bundle, "verdict": last.verdict, "policy": last.policy}
        return self.add(following(self.records, last.name, action=RELEASE, **said))

    def add(self, record: Record) -> Record:
        """In the order of a promotion: the tag that keeps the bundle, the record, the channel's tag."""
        bundle = self.store.bundle(record.bundle)
        if bundle:
            self.store.tag(bundle, channel_tag(self.name, record.sequence))
        append(self.path, record)
        self.records.append(record)
        if bundle:
            self.store.tag(bundle, channel_tag(self.name))
        return record


def small_channel(folder: Path, *names: str, channel: str = "staging") -> SmallChannel:
    """A channel into which the bundles of these names were promoted in turn."""
    made = SmallChannel(Store(folder / "artifacts"), folder / f"channels/{channel}.toml")
    for name in names:
        made.promote(name)
    return made
