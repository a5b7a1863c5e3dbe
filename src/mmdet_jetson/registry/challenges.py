"""What a registry asks for in ``WWW-Authenticate`` (RFC 9110, section 11.6.1)."""

import re
from dataclasses import dataclass, field

_PART = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([A-Za-z][\w-]*)')


@dataclass
class Challenge:
    """One way to say who one is: its scheme in lower case, and its parameters."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a header in their order; what is none is left out."""
    found: list[Challenge] = []
    for name, quoted, bare, scheme in _PART.findall(header):
        if scheme:
            found.append(Challenge(scheme.lower()))
        elif found:
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare
            found[-1].parameters.setdefault(name.lower(), value)
    return found


def best_challenge(header: str) -> Challenge | None:
    """The challenge to meet: a token rather than a password; None where there is neither."""
    by_scheme = {each.scheme: each for each in reversed(parse_challenges(header))}
    return by_scheme.get("bearer") or by_scheme.get("basic")
