"""What jobs found out about the nodes that they ran on, for keys that are computed elsewhere.

What a GPU builds and measures has that GPU in its key, and a profile the very machine. A login node
has neither, so each job writes down what its node said, beside the store.
"""

import hashlib
from pathlib import Path

import msgspec

from mmdet_jetson.contract.files import write_whole

FOLDER = "slurm/nodes"


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node said of itself to a job of one step.

    ``gpu`` and ``device`` are what the host runtime there put into the step's key: see
    `Runtime.identity` and `Runtime.device`. ``found`` is when, in RFC 3339.
    """

    node: str
    gpu: str
    device: str
    found: str


def kind_of(*asked: object) -> str:
    """Name the kind of node that a step asks for: whoever asks for the same may get the same."""
    text = "\n".join(map(str, asked))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_facts(store: Path, kind: str, step: str, facts: NodeFacts) -> None:
    """Write down what a node said to the job of a step."""
    path = _file(store, kind, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, msgspec.json.encode(facts))


def read_facts(store: Path, kind: str, step: str) -> NodeFacts | None:
    """Read what the newest node said to that step, else to any step that asked for the same.

    None where no such job ever ran. What cannot be read counts as absent: the next job writes it
    again.
    """
    own = _read(_file(store, kind, step))
    if own:
        return own
    others = [_read(path) for path in (store / FOLDER).glob(f"{kind}.*.json")]
    return max(filter(None, others), key=lambda facts: facts.found, default=None)


def _file(store: Path, kind: str, step: str) -> Path:
    return store / FOLDER / f"{kind}.{step}.json"


def _read(path: Path) -> NodeFacts | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=NodeFacts)
    except (OSError, msgspec.DecodeError):
        return None
