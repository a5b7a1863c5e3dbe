"""The connection to a Docker host, and the one door to Docker's SDK: no other module imports it.

Whoever talks through it does so within `Connection.talking`, which turns what the SDK and the
libraries under it raise into sentences.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import local
from typing import TypedDict
from urllib.parse import urlsplit

import requests
from docker import APIClient
from docker.constants import IS_WINDOWS_PLATFORM
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, NotFound
from docker.tls import TLSConfig
from docker.transport.sshconn import SSHSocket
from docker.types import DeviceRequest, HostConfig, Mount
from docker.utils import parse_host
from urllib3.exceptions import HTTPError

from mmdet_jetson.containers.objects import (
    ConnectionLost,
    DockerHostError,
    FolderMount,
    NotThere,
    VolumeMount,
)

__all__ = [
    "SECONDS",
    "APIClient",
    "Connection",
    "GpuOptions",
    "HostConfig",
    "all_gpus",
    "mount_of",
]
NOT_OVER_THE_NETWORK = ("http+unix", "npipe", "ssh")  # as the SDK calls them in the end
SECONDS = 120  # without an answer; builds and runs may be silent for longer


class _Options(TypedDict, total=False):
    """What the SDK's client is made with."""

    base_url: str
    tls: TLSConfig


class GpuOptions(TypedDict, total=False):
    """What gives a container the GPU; which of the two depends on the machine."""

    runtime: str
    device_requests: list[DeviceRequest]
    group_add: list[str]


class _Client(APIClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's client, which takes a host's certificates from nowhere but its own options.

    requests prefers REQUESTS_CA_BUNDLE, as set behind an inspecting proxy, to the authority that it
    is told to trust, and sends what goes to a Docker host through HTTPS_PROXY.
    """

    def merge_environment_settings(self, *arguments: object) -> dict[str, object]:
        self.trust_env = False
        settings: dict[str, object] = super().merge_environment_settings(*arguments)
        return settings


def _close_ssh(connection: SSHSocket) -> None:
    """Close a connection over ssh, be it gone already.

    The SDK says goodbye first, which fails then. It has a connection for each question, and closes
    some as garbage, or when Python ends: nobody catches what fails there, which is printed as a
    traceback.
    """
    if connection.proc:
        with suppress(OSError):
            connection.proc.stdin.close()
        connection.proc.terminate()


SSHSocket.close = _close_ssh


class Connection:
    """A connection to one Docker host."""

    def __init__(self, address: str, certificates: Path | None) -> None:
        self._options = _options(address, certificates)
        self.address = self._options["base_url"]
        self._clients = local()
        with self.talking("connecting"):
            # The client asks the Docker host for its version at once.
            self._clients.mine = self._client("auto")
        self._version: str = self._clients.mine.api_version

    @property
    def api(self) -> _Client:
        """The SDK's client of this thread: they are not made for several at once."""
        if not hasattr(self._clients, "mine"):
            self._clients.mine = self._client(self._version)
        mine: _Client = self._clients.mine
        return mine

    def _client(self, version: str) -> _Client:
        return _Client(version=version, timeout=SECONDS, use_ssh_client=True, **self._options)

    @contextmanager
    def talking(self, doing: str) -> Iterator[None]:
        """Turn what goes wrong meanwhile into one sentence.

        Raises:
            NotThere: what was asked for does not exist.
            DockerHostError: the Docker host refuses.
            ConnectionLost: it does not answer, or no longer.
        """
        try:
            yield
        except APIError as error:
            kind = NotThere if isinstance(error, NotFound) else DockerHostError
            reason = str(error.explanation or error).strip()
            raise kind(f"{doing}: the Docker host at {self.address} refused: {reason}") from error
        except (DockerException, requests.RequestException, HTTPError, OSError) as error:
            raise ConnectionLost(
                f"{doing}: the Docker host at {self.address} does not answer: {_innermost(error)}",
                "check that it is running and can be reached, then run again",
            ) from error


def mount_of(mount: VolumeMount | FolderMount) -> Mount:
    """A mounted volume or folder, for the SDK.

    A volume that is missing is made along with its container, so there is no moment at which a
    killed client leaves a volume that belongs to no container.
    """
    if isinstance(mount, FolderMount):
        return Mount(mount.target, mount.folder, type="bind", read_only=True)
    return Mount(mount.target, mount.volume, type="volume", read_only=mount.read_only)


def all_gpus(architecture: str, groups: Sequence[int]) -> GpuOptions:
    """What gives a container every GPU of the machine, for the SDK.

    Jetsons know no device requests: their runtime maps in what the image asks for. The groups are
    those that may open the device files, by the machine's own numbers.
    """
    options: GpuOptions = {"group_add": [str(group) for group in groups]}
    if architecture == "arm64":
        return {**options, "runtime": "nvidia"}
    return {**options, "device_requests": [DeviceRequest(count=-1, capabilities=[["gpu"]])]}


def _options(address: str, certificates: Path | None) -> _Options:
    """What the SDK's client of an address, or of a context's name, is made with.

    Raises:
        DockerHostError: there is no such context, or what would connect is not safe.
    """
    if "://" not in address:
        return _context_options(address)
    hint = "set DOCKER_CERT_PATH to a folder with ca.pem, cert.pem and key.pem, and write tcp://"
    over_network = _scheme(address) not in NOT_OVER_THE_NETWORK
    tls = _tls(certificates) if certificates and over_network else None
    return _safe(address, tls, f"{hint}; or use ssh://")


def _safe(address: str, tls: TLSConfig | None, hint: str) -> _Options:
    """Options for an address that is this machine's, goes over ssh, or over TLS both ways.

    Raises:
        DockerHostError: it is no address, or is none of these; ``hint`` says what to do then.
    """
    scheme = _scheme(address, has_tls=tls is not None)
    if scheme in NOT_OVER_THE_NETWORK:
        return {"base_url": address}
    if scheme == "https" and tls and tls.verify:
        return {"base_url": address, "tls": tls}
    raise DockerHostError(
        f"{address}: without TLS that checks both sides, anyone on the network could control that"
        " Docker host, or pass for it",
        hint,
    )


def _scheme(address: str, *, has_tls: bool = False) -> str:
    """The scheme of what the SDK makes of an address, since that is what connects.

    ``tcp``, ``TCP`` and ``http`` are all ``http`` to it, and the last one is so even with TLS.
    """
    try:
        made: str = parse_host(address, IS_WINDOWS_PLATFORM, tls=has_tls)
    except (ValueError, DockerException) as error:  # a port of 99999, or none
        raise DockerHostError(f"{address} is not the address of a Docker host: {error}") from error
    return urlsplit(made).scheme


def _tls(certificates: Path) -> TLSConfig:
    ca, *pair = (str(certificates / f"{name}.pem") for name in ("ca", "cert", "key"))
    try:
        return TLSConfig(client_cert=(pair[0], pair[1]), ca_cert=ca, verify=True)
    except DockerException as error:
        raise DockerHostError(
            f"{certificates}: {error}", "the folder needs ca.pem, cert.pem and key.pem"
        ) from error


def _context_options(name: str) -> _Options:
    try:
        context = ContextAPI.get_context(name or None)
        known = [] if context else [each.name for each in ContextAPI.contexts()]
    except Exception as error:  # the SDK has no narrower one for a damaged file
        raise DockerHostError(
            f"Docker's contexts cannot be read: {error}", "docker context ls shows them"
        ) from error
    if context is None:
        raise DockerHostError(
            f"{name!r} is neither the address of a Docker host nor a Docker context"
            if name
            else "the Docker context in use does not exist",
            f"an address, as ssh://{name or 'user@host'}, or one of: {', '.join(known)} (contexts"
            " are only found if ~/.docker/config.json exists; {} will do)",
        )
    if not context.Host:  # the SDK would take this machine's
        raise DockerHostError(f"the Docker context {context.name!r} names no Docker host")
    hint = f"docker context update {context.name} --docker host=...,ca=...,cert=...,key=..."
    return _safe(context.Host, context.TLSConfig, hint)


def _innermost(error: BaseException) -> str:
    """The message of the first cause, without those of the libraries around it."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__
