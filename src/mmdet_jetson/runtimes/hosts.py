"""Docker hosts that a configuration names: each builds and measures the engines of its targets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mmdet_jetson.config.hosts import Host, hosts_of
from mmdet_jetson.errors import UserError
from mmdet_jetson.runtimes.protocol import Runtime, Runtimes
from mmdet_jetson.runtimes.selection import RuntimeOptions, Say


def used_hosts(hosts: Mapping[str, Host], targets: Sequence[str]) -> dict[str, Host]:
    """The hosts that any of these targets could go to."""
    return {name: host for name, host in hosts.items() if set(host.targets) & set(targets)}


def open_hosts(
    runtimes: Runtimes,
    hosts: Mapping[str, Host],
    targets: Sequence[str],
    options: RuntimeOptions,
    open_with: Callable[[RuntimeOptions], Runtime],
    *,
    say: Say,
) -> Runtimes:
    """Leave each target to the hosts that name it; a target that none names stays where it was.

    All are asked at once. One that does not answer is left out where others can have its targets.

    Raises:
        UserError: a target has no host that answers.
    """
    used = used_hosts(hosts, targets)
    if not used:
        return runtimes

    def open_host(name: str) -> Runtime:
        host = used[name]
        there = replace(options, runtime="docker", docker_host=host.address)
        return open_with(replace(there, name=name, jobs=host.jobs))

    there, silent = _all(open_host, used)
    by_target: dict[str, Runtime] = {}
    others: dict[str, list[Runtime]] = {}
    for target in targets:
        names = hosts_of(used, target)
        answering = [there[name] for name in names if name in there]
        if names and not answering:
            raise _refused(names[0], used, silent[names[0]], targets)
        if answering:
            by_target[target], *others[target] = answering
    for name, error in silent.items():
        say(f"warning: hosts.{name} is left out: {error.message}")
    return replace(
        runtimes, by_target=by_target, others={name: each for name, each in others.items() if each}
    )


def _all(
    open_host: Callable[[str], Runtime], names: Iterable[str]
) -> tuple[dict[str, Runtime], dict[str, UserError]]:
    """Open all at once, for some may be far away: those that answer, and what the others said."""
    names = list(names)
    there: dict[str, Runtime] = {}
    silent: dict[str, UserError] = {}
    with ThreadPoolExecutor(len(names)) as pool:
        opening = {name: pool.submit(open_host, name) for name in names}
        for name, future in opening.items():
            try:
                there[name] = future.result()
            except UserError as error:
                silent[name] = error
    return there, silent


def _refused(
    name: str, used: Mapping[str, Host], error: UserError, targets: Sequence[str]
) -> UserError:
    rest = [each for each in targets if each not in used[name].targets]
    without = " ".join(f"--target {each}" for each in rest)
    hint = "; ".join(
        filter(None, (error.hint, f"without its targets: {without}" if without else ""))
    )
    return UserError(f"hosts.{name}: {error.message}", hint)
