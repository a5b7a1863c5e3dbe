"""What is taken out of a report before it leaves the machine: names, addresses, pictures.

A report is put together from what is asked for by name. Some of that is free text all the same:
the end of a log, the sentence of a failure, a program's answer. Here names and addresses are taken
out of it, and nothing else.
"""

import os
import platform
import pwd
import re
from collections.abc import Callable, Iterable
from pathlib import Path

PICTURES = r"\.(?:jpe?g|jpe|jp2|png|bmp|dib|webp|gif|tiff?|p[bgnp]m|avif|heic)"
# What names of users and machines are often made of: they are nobody's, and the report needs them.
NOBODYS = (
    "root", "user", "admin", "nvidia", "jetson", "orin", "xavier", "thor", "agx", "nano", "nx",
    "tegra", "ubuntu", "debian", "desktop", "localhost", "docker", "default", "cuda", "tensorrt",
    "onnx", "python", "engine", "demo", "test", "pc", "device", "linux", "build",
)  # fmt: skip
# In turn; a version such as TensorRT's 10.3.0.26 looks like an address and has to stay, so that
# an address is one only with a user before it or a port behind it.
PATTERNS = (
    (re.compile(r"\b([a-z][a-z0-9+.-]{0,20})://[^/\s\"'<>]*@", re.IGNORECASE), r"\1://"),
    (re.compile(r"\b([a-z][a-z0-9+.-]{0,20})://[^/\s\"'<>()\[\]]+", re.IGNORECASE), r"\1://HOST"),
    (re.compile(r"(://[^\s\"'?]{0,255})\?[^\s\"']*"), r"\1"),
    (re.compile(r"\bssh\b.* -- \S+"), "ssh -- HOST"),
    (re.compile(r"\b(hostname \S+?(?=:|\s|$)|host \S+(?= port ))"), "host HOST"),
    (
        re.compile(r"[\w.+-]{1,64}@(?!sha256:|GLIBC|CXXABI)(?:[A-Za-z][\w.-]*|\d+(?:\.\d+){3})"),
        "USER@HOST",
    ),
    (re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?=:\d)|\[[\da-f:]+(?:%\w+)?\](?=:\d)"), "HOST"),
    (re.compile(r"\blookup \S+"), "lookup HOST"),
    (re.compile(r"/(home|Users)/[^/\s\"':]+"), r"/\1/USER"),
    # A Docker host's name and identity, in front of its architecture and cores.
    (re.compile(r"[^\s:]{1,255} [\w-]{1,64} (?=(?:amd64|arm64) x \d)"), "HOST "),
    # Names of pictures may have spaces: what stands in front of one may go with it.
    (re.compile(rf"[^,;:\"\n]{{0,255}}{PICTURES}\b", re.IGNORECASE), " PICTURE"),
)
IS_PICTURE = re.compile(rf"{PICTURES}$", re.IGNORECASE)


def cleaner(
    docker_hosts: Iterable[str], machines: Iterable[str] = ()
) -> Callable[[object], object]:
    """Give what cleans anything that can become JSON: each string in it, and each key.

    ``docker_hosts`` are addresses, as DOCKER_HOST has them, or names of contexts; ``machines`` are
    names and addresses of machines.
    """
    people, hosts = set(_people()), {*_own_names(), *machines}
    for address in docker_hosts:
        # Not by urllib, which raises at an address with a mistake in it.
        user, _, host = address.rpartition("://")[2].partition("/")[0].rpartition("@")
        people.update(user.split(":"))
        hosts.add(re.sub(r":\d*$", "", host).strip("[]"))
    hosts |= {host.partition(".")[0] for host in hosts if not re.fullmatch(r"[\d.]+", host)}
    words = [*((each, "HOST") for each in hosts), *((each, "USER") for each in people)]
    known = [
        (re.compile(rf"(?<![A-Za-z\d]){re.escape(word)}(?![A-Za-z\d])", re.IGNORECASE), instead)
        for word, instead in sorted(words, key=lambda each: len(each[0]), reverse=True)
        if len(word) > 1 and not word.isdigit() and not _is_nobodys(word)
    ]
    home = str(Path.home())
    folder = [(re.compile(re.escape(home) + r"(?![\w.-])"), "~")] if home != "/" else []
    return _Cleaner([*folder, *PATTERNS, *known])


def _is_nobodys(word: str) -> bool:
    parts = re.findall(r"[^\W\d_]+", word.lower())
    return bool(parts) and all(part in NOBODYS for part in parts)


class _Cleaner:
    def __init__(self, patterns: list[tuple[re.Pattern[str], str]]) -> None:
        self.patterns = patterns

    def __call__(self, what: object) -> object:
        if isinstance(what, str):
            return self._text(what)
        if isinstance(what, dict):
            named = enumerate(what.items())
            return {self._key(str(key), number): self(each) for number, (key, each) in named}
        return [self(each) for each in what] if isinstance(what, list | tuple) else what

    def _key(self, key: str, number: int) -> str:
        """Keep pictures apart, such as those of a proof."""
        return f"picture {number}" if IS_PICTURE.search(key) else self._text(key)

    def _text(self, text: str) -> str:
        for pattern, instead in self.patterns:
            text = pattern.sub(instead, text)
        return text


def _people() -> Iterable[str]:
    """Names of this user: at the login, of the person, of the home folder, before `sudo`."""
    yield Path.home().name
    yield from (os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER"))
    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:  # in a container a user may have no name
        return
    yield from (user.pw_name, user.pw_gecos.partition(",")[0])


def _own_names() -> Iterable[str]:
    yield platform.node()
    yield os.environ.get("HOSTNAME", "")
