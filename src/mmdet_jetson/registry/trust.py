"""Whose certificates are good for a registry: this machine's, given ones, and those for Docker."""

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmdet_jetson.registry.place import PlaceError


def make_context(
    host: str, authorities: list[Path], environ: Mapping[str, str] = os.environ
) -> ssl.SSLContext:
    """Trust this machine's authorities, those given, and those of the folders ``certs.d``.

    Args:
        host: with its port, as the folders are named; a client's certificate in them is shown to
            the registry. Empty: leave the folders alone.
        authorities: files in PEM, such as `[store] ca`.
        environ: says where the user's own folders are.

    Raises:
        PlaceError: a file cannot be read, or holds no certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for authority in authorities:
        _trust(context, authority)
    for folder in _folders(host, environ) if host else ():
        for authority in sorted(folder.glob("*.crt")):
            _trust(context, authority)
        for certificate in sorted(folder.glob("*.cert")):
            _present(context, certificate)
    return context


def _folders(host: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Where Docker and Podman look (``containers-certs.d(5)``)."""
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "~") / ".config")
    for top in (home, Path("/etc")):
        for tool in ("docker", "containers"):
            yield top.expanduser() / tool / "certs.d" / host


def _trust(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except OSError as error:  # an SSLError, too, is one
        raise PlaceError(
            f"{authority} holds no certificates to trust: {error.strerror or error}",
            "name a file in PEM, which starts with -----BEGIN CERTIFICATE-----",
        ) from error


def _present(context: ssl.SSLContext, certificate: Path) -> None:
    key = certificate.with_suffix(".key")
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise PlaceError(
            f"{certificate} and {key.name} beside it cannot be used: {error.strerror or error}",
            "mend them, or remove both",
        ) from error
