"""Pinning base images: every tag in ``images.toml`` resolved to a digest, and written beside it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests

from mmdet_jetson.config.images import load_images
from mmdet_jetson.errors import UserError

_REFERENCE = re.compile(r'(base|builder) = "([^"]+)"')
_DIGEST = re.compile(r"(base|builder)_digest = ")
# An index where the tag names one, so that each platform finds its own image under the digest.
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


def pin_all(path: Path) -> dict[str, str]:
    """Resolve every base in ``images.toml``, rewrite the file, and return digests by reference.

    Nothing is written unless all of them could be resolved.

    Raises:
        UserError: a registry cannot be reached, or has no such tag.
    """
    images = load_images(path).images.values()
    references = {each for image in images for each in (image.base, image.builder) if each}
    digests = {reference: resolve(reference) for reference in sorted(references)}
    path.write_text("\n".join(_rewritten(path.read_text(), digests)) + "\n")
    load_images(path)
    return digests


def resolve(reference: str) -> str:
    """Ask the reference's registry for the digest that its tag names now.

    Raises:
        UserError: the registry cannot be reached, or has no such tag.
    """
    from oras.container import Container  # noqa: PLC0415 - costs 0.4 s to import
    from oras.provider import Registry  # noqa: PLC0415

    where = Container(_spelled_out(reference))
    is_local = where.registry.partition(":")[0] in ("localhost", "127.0.0.1")
    registry = Registry(insecure=is_local)
    registry.auth.load_configs(where)
    url = f"{registry.prefix}://{where.manifest_url()}"
    try:
        # The library tries for a minute and a half where nobody answers at all.
        registry.session.head(f"{registry.prefix}://{where.registry}/v2/", timeout=10)
        answer = registry.do_request(url, "HEAD", headers={"Accept": _ACCEPT})
        answer.raise_for_status()
        return str(answer.headers["Docker-Content-Digest"])
    except (requests.RequestException, ValueError, KeyError) as error:
        raise UserError(
            f"cannot resolve {reference}: {_reason(error)}",
            "look at the tag, and whether this machine reaches the registry",
        ) from error


def _spelled_out(reference: str) -> str:
    """Name what Docker leaves out: its own registry, and the folder there of names without one."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return reference
    return f"registry-1.docker.io/{reference if slash else f'library/{reference}'}"


def _reason(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the registry answers {error.response.status_code}"
    if isinstance(error, requests.RequestException):
        return "its registry does not answer"
    return str(error)


def _rewritten(text: str, digests: Mapping[str, str]) -> Iterator[str]:
    """The file's lines, each reference followed by its digest and everything else as it was."""
    for line in text.splitlines():
        if _DIGEST.match(line):
            continue
        yield line
        found = _REFERENCE.match(line)
        if found:
            yield f'{found[1]}_digest = "{digests[found[2]]}"'
