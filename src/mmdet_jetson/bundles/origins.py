"""What two results were made by: commits, the stages' source, packages and images."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mmdet_jetson.bundles.contents import Contents, PartName
from mmdet_jetson.config.settings import ROOT
from mmdet_jetson.environments.commit import commits_between, file_at
from mmdet_jetson.environments.packages import lock_digest, pins_in
from mmdet_jetson.planning.explain import parts_of_environments
from mmdet_jetson.store import Artifact

# What a fact tells of the moment and not of what ran.
OF_THE_MOMENT = frozenset(
    {"busy_with_others", "load_average", "memory_gb", "gpu_clock", "cpu_clocks", "threads"}
)
MOST_COMMITS = 200
Pair = tuple[Artifact, Artifact]


@dataclass(frozen=True)
class CodeChange:
    """The commits that made both sides, and what lies between them.

    ``added`` and ``dropped`` are commits with their subjects, None where this clone does not know
    both; ``stages`` are those whose own source differs.
    """

    was: tuple[str, ...]
    now: tuple[str, ...]
    added: tuple[str, ...] | None
    dropped: tuple[str, ...] | None
    stages: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the same code made both: commits alone may be of anything else."""
        return self.was == self.now and not self.stages


@dataclass(frozen=True)
class EnvironmentChange:
    """An environment that differs, by its name; ``stages`` ran in it.

    ``packages`` are those whose version differs, None where neither this clone nor its history has
    the lock files.
    """

    name: str
    stages: tuple[str, ...]
    was: tuple[str, ...]
    now: tuple[str, ...]
    packages: Mapping[str, tuple[str, str]] | None


@dataclass(frozen=True)
class FactChange:
    """What stages told of what they ran with, such as a library's version."""

    name: str
    was: object
    now: object
    stages: tuple[str, ...]


def pairs_of(before: Contents, after: Contents) -> dict[PartName, Pair]:
    """The parts that both sides have."""
    return {
        part: (each, after.parts[part])
        for part, each in before.parts.items()
        if part in after.parts
    }


def compare_code(before: Contents, after: Contents) -> CodeChange:
    """Compare commits, and the source of each stage: of what both sides have."""
    was, now = (_commits(side) for side in (before, after))
    pairs = pairs_of(before, after).values()
    made = [(a.provenance, b.provenance) for a, b in pairs]
    stages = {a.stage for a, b in made if a.source != b.source and a.stage == b.stage}
    first, last = (each[0].rstrip("+") if each else "" for each in (was, now))
    added = commits_between(first, last) if was != now else []
    dropped = commits_between(last, first) if was != now else []
    return CodeChange(was, now, _cut(added), _cut(dropped), tuple(sorted(stages)))


def _cut(commits: list[str] | None) -> tuple[str, ...] | None:
    return None if commits is None else tuple(commits[:MOST_COMMITS])


def _commits(side: Contents) -> tuple[str, ...]:
    """The commits that a side was made by: the training's, then others, the most frequent first."""
    counts = Counter(each.provenance.commit for each in side.parts.values())
    counts.pop("", None)
    ordered = [commit for commit, _ in counts.most_common()]
    training = side.checkpoint.provenance.commit if side.checkpoint else ""
    return tuple(sorted(ordered, key=lambda each: each != training))


def compare_environments(before: Contents, after: Contents) -> tuple[EnvironmentChange, ...]:
    """Compare the identity of each environment that parts of both sides were made in."""
    found: dict[tuple[str, str, str], dict[str, Pair]] = {}
    for pair in pairs_of(before, after).values():
        was, now = (each.provenance.environment for each in pair)
        if was != now and was and now:
            name = was.partition(":")[0]
            stages = found.setdefault((name, was, now), {})
            stages[pair[0].provenance.stage] = pair
    changes = [_environment(*key, stages) for key, stages in found.items()]
    return tuple(sorted(_merged(changes), key=lambda each: each.name))


def _environment(name: str, was: str, now: str, stages: Mapping[str, Pair]) -> EnvironmentChange:
    gone, new = parts_of_environments(was, now)
    commits = [each.provenance.commit.rstrip("+") for pair in stages.values() for each in pair]
    packages = _packages(was.split(":"), now.split(":"), commits)
    return EnvironmentChange(name, tuple(sorted(stages)), gone, new, packages)


def _merged(changes: Iterable[EnvironmentChange]) -> Iterator[EnvironmentChange]:
    """Join those that differ alike: a profile's identity has its device behind the rest."""
    by_change: dict[tuple[object, ...], EnvironmentChange] = {}
    for each in changes:
        key = (each.name, each.was, each.now)
        last = by_change.get(key)
        stages = {*each.stages, *(last.stages if last else ())}
        by_change[key] = EnvironmentChange(
            each.name, tuple(sorted(stages)), each.was, each.now, each.packages
        )
    yield from by_change.values()


def _packages(
    before: list[str], after: list[str], commits: Iterable[str]
) -> Mapping[str, tuple[str, str]] | None:
    """The packages that differ between two lock files, which go by a part of their digest."""
    if len(before) < 2 or len(after) < 2:
        return None
    if before[:2] == after[:2]:
        return {}
    was, now = (_pins(name, digest, commits) for name, digest in (before[:2], after[:2]))
    if was is None or now is None:
        return None
    names = sorted({*was, *now})
    return {n: (was.get(n, "none"), now.get(n, "none")) for n in names if was.get(n) != now.get(n)}


def _pins(name: str, digest: str, commits: Iterable[str]) -> dict[str, str] | None:
    """The versions in a lock file, if this clone or its history has the one of that digest."""
    if not re.fullmatch(r"[a-z0-9-]+", name):
        return None
    path = f"docker/{name}.lock"
    here = ROOT / path
    contents = (here.read_bytes() if here.is_file() else None, *(file_at(c, path) for c in commits))
    for content in contents:
        if content and lock_digest(content) == digest:
            return pins_in(content.decode(errors="replace"))
    return None


def compare_facts(before: Contents, after: Contents) -> tuple[FactChange, ...]:
    """Compare what stages told of libraries and machines, but for what is of the moment."""
    found: dict[tuple[str, str, str], tuple[object, object, set[str]]] = {}
    for was, now in pairs_of(before, after).values():
        facts = was.provenance.facts, now.provenance.facts
        for name in facts[0].keys() & facts[1].keys() - OF_THE_MOMENT:
            one, other = facts[0][name], facts[1][name]
            if one != other:
                key = (name, str(one), str(other))
                found.setdefault(key, (one, other, set()))[2].add(was.provenance.stage)
    return tuple(
        FactChange(name, one, other, tuple(sorted(stages)))
        for (name, _, _), (one, other, stages) in sorted(found.items())
    )
