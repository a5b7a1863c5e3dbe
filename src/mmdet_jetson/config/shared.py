"""``[store]`` of ``pipeline.toml``: the registry that the store is shared through."""

from typing import Annotated

import msgspec

from mmdet_jetson.config.toml import Section, pattern

_Repository = Annotated[
    str, pattern(r"^(docker://[^/]+/.|$)", "a registry is written docker://HOST/REPOSITORY")
]


class Shared(Section, frozen=True):
    """Where the registry is, "" for none, and how it may be reached; it is in no key.

    ``ca`` is a file with the certificates that its TLS is trusted by; ``plain_http`` does without
    TLS. Both hold for registries that are named on the command line, too.
    """

    registry: _Repository | None = None
    ca: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    plain_http: bool = False
