"""What is said of a process of a stage that several share out, when it has died.

Whoever started it says so: torchrun's launcher inside an environment, or what follows a batch job.
"""

import signal

from mmdet_jetson.contract.job import Failure


def death(rank: int, world: int, code: int, words: str, node: str = "") -> Failure:
    """Say which process died, how, and what it printed last.

    ``code`` is its exit code, negative for a signal as Python has it; ``node`` the machine that it
    ran on, where there are several.
    """
    where = f" on {node}" if node else ""
    memory = ", most often because memory ran out" if code == -signal.SIGKILL else ""
    last = f"; the end of its log:\n{words}" if words.strip() else ", without a word"
    return Failure(
        f"rank {rank}{where}, one of its {world} processes, ended with {_ending(code)}{memory}"
        f"{last}",
        "run again: it goes on from its newest checkpoint, with as many processes as you like",
    )


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
