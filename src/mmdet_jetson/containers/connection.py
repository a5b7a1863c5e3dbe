"""The connection to a Docker engine, and the one door to its SDK: no other module imports it.

Whoever talks through it does so within `Connection.talking`, which turns what the SDK and the
libraries under it raise into sentences.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import requests
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, NotFound
from docker.tls import TLSConfig
from docker.types import DeviceRequest, Mount
from urllib3.exceptions import HTTPError

from mmdet_jetson.containers.objects import ConnectionLost, DockerHostError, NotThere, VolumeMount

SECONDS = 120  # without an answer; builds and runs may be silent for longer


class _Client(docker.APIClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's client, which takes an engine's certificates from nowhere but its own options.

    requests prefers REQUESTS_CA_BUNDLE, as set behind an inspecting proxy, to the authority that it
    is told to trust, and sends what goes to an engine through HTTPS_PROXY.
    """

    def merge_environment_settings(self, *arguments: Any) -> Any:
        self.trust_env = False
        return super().merge_environment_settings(*arguments)


class Connection:
    """A connection to one engine; ``api`` is the SDK's client."""

    def __init__(self, address: str, certificates: Path | None) -> None:
        options = _options(address, certificates)
        self.address = str(options["base_url"])
        with self.talking("connecting"):
            self.api = _client(options)

    @contextmanager
    def talking(self, doing: str) -> Iterator[None]:
        """Turn what goes wrong meanwhile into one sentence.

        Raises:
            NotThere: what was asked for does not exist.
            DockerHostError: the engine refuses.
            ConnectionLost: it does not answer, or no longer.
        """
        try:
            yield
        except APIError as error:
            kind = NotThere if isinstance(error, NotFound) else DockerHostError
            reason = str(error.explanation or error).strip()
            raise kind(f"{doing}: the engine at {self.address} refused: {reason}") from error
        except (DockerException, requests.RequestException, HTTPError, OSError) as error:
            raise ConnectionLost(
                f"{doing}: the engine at {self.address} does not answer: {_innermost(error)}",
                "look whether it runs and can be reached, then run again",
            ) from error


def _client(options: Mapping[str, Any]) -> Any:
    """Make the SDK's client, which asks the engine for its version.

    Raises:
        DockerHostError: the address is none.
    """
    try:
        return _Client(version="auto", timeout=SECONDS, use_ssh_client=True, **options)
    except ValueError as error:  # a port of 99999
        raise DockerHostError(
            f"{options['base_url']} is not an engine's address: {error}"
        ) from error


def volume(each: VolumeMount) -> Any:
    """The SDK's words for a mounted volume; one that is missing is made along with its container.

    So there is no moment at which a killed client leaves a volume that belongs to no container.
    """
    return Mount(each.target, each.volume, type="volume", read_only=each.read_only)


def folder_of_the_machine(path: str, shown_as: str) -> Any:
    """The SDK's words for a folder of the engine's own machine, to be read."""
    return Mount(shown_as, path, type="bind", read_only=True)


def all_gpus(architecture: str) -> Mapping[str, Any]:
    """The SDK's words for a container that gets the GPU.

    Jetsons know no device requests: their runtime maps in what the image asks for.
    """
    if architecture == "arm64":
        return {"runtime": "nvidia"}
    return {"device_requests": [DeviceRequest(count=-1, capabilities=[["gpu"]])]}


def _options(address: str, certificates: Path | None) -> dict[str, Any]:
    """What the SDK's client is made with."""
    if "://" not in address:
        return _context_options(address)
    if not address.startswith("tcp://"):
        return {"base_url": address}
    if certificates is None:
        raise DockerHostError(
            f"{address}: without TLS anyone on the network can command it",
            "set DOCKER_CERT_PATH to a folder with ca.pem, cert.pem and key.pem",
        )
    ca, *pair = (str(certificates / f"{name}.pem") for name in ("ca", "cert", "key"))
    try:
        tls = TLSConfig(client_cert=(pair[0], pair[1]), ca_cert=ca, verify=True)
    except DockerException as error:
        raise DockerHostError(
            f"{certificates}: {error}", "it needs ca.pem, cert.pem, key.pem"
        ) from error
    return {"base_url": address, "tls": tls}


def _context_options(name: str) -> dict[str, Any]:
    try:
        context = ContextAPI.get_context(name or None)
        known = ", ".join(each.name for each in ContextAPI.contexts())
    except DockerException as error:
        raise DockerHostError(
            f"Docker's contexts cannot be read: {error}", "docker context ls shows them"
        ) from error
    if context is None:
        raise DockerHostError(
            f"{name!r} is neither an engine's address nor a Docker context"
            if name
            else "the Docker context in use does not exist",
            f"one of: {known} (contexts are found where ~/.docker/config.json exists)",
        )
    options = {"base_url": context.Host}
    return {**options, "tls": context.TLSConfig} if context.TLSConfig else options


def _innermost(error: BaseException) -> str:
    """The words of the first cause, without the libraries' names around it."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__
