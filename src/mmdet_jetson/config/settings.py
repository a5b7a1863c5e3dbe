"""What this machine's owner decides, read once from the environment.

============================= ===================================================================
``MMDET_JETSON_CACHE``        environments, wheels and downloads (default: the user's cache folder)
``MMDET_JETSON_ARTIFACTS``    the store (default: ``artifacts/`` of the project)
``MMDET_JETSON_CHANNELS``     the channel files (default: ``channels/`` of the project)
``MMDET_JETSON_MIRRORS``      folders or URLs tried before the original address, separated by spaces
``MMDET_JETSON_OFFLINE``      ``1``: never open a connection; use the cache and mirrored folders
``MMDET_JETSON_PYTHON38``     a Python 3.8 to use for the environment ``train``
``MMDET_JETSON_TRAIN``        ``cpu`` or ``cu113``: which lock environment ``train`` is built from
                              (default: ``cu113`` where an NVIDIA driver is loaded)
``MMDET_JETSON_BASES``        ``stand-in``: build images on bases of docker/make-stand-in, instead
                              of pulling the real ones (``registry``, the default)
``MMDET_JETSON_CERTIFICATES`` a bundle that image builds trust, behind a proxy that inspects TLS; it
                              never enters an image (default: what ``SSL_CERT_FILE`` names, else
                              this machine's own)
``MLFLOW_TRACKING_URI``       an MLflow server, or a store of its own, that trainings are logged to
                              by mlflow-skinny, as the ``MLFLOW_EXPERIMENT_NAME`` if set; MLflow
                              reads these itself (``tracking/mlflow_runs.py``)
``CI``                        ``true`` or ``1``, as CI systems set it: results go to the registry of
                              ``[store]``, as with ``--push``; set it to nothing to keep them here
``MMDET_JETSON_SLURM``        a file that says how ``--runtime slurm`` asks for nodes (default:
                              ``configs/slurm.toml`` of the project)
``DOCKER_HOST``               where ``--runtime docker`` runs if ``--docker-host`` names nothing
``DOCKER_CONTEXT``            the Docker context for that if ``DOCKER_HOST`` names none either; else
                              the one in use, as for Docker's command line
``DOCKER_CERT_PATH``          a folder with ca.pem, cert.pem and key.pem, for a host at tcp://...
============================= ===================================================================
"""

import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import msgspec

from mmdet_jetson.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
# Of Debian and Ubuntu; of Fedora and Red Hat.
SYSTEM_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
Variant = Literal["cpu", "cu113"]
Bases = Literal["registry", "stand-in"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where things live on this machine and what may be reached from it."""

    root: Path
    cache: Path
    artifacts: Path
    mirrors: tuple[str, ...]
    offline: bool
    python38: str
    variant: Variant
    bases: Bases
    certificates: Path | None
    docker_host: str = ""
    docker_certificates: Path | None = None
    ci: bool = False
    channels: Path | None = None
    """The folder of the channel files, where it is not the project's own."""
    variant_is_told: bool = False
    """Whether a person chose ``variant``."""
    slurm: Path | None = None
    """How Slurm is asked for nodes, where that is not the project's own file."""


def read_settings(environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Settings:
    """Read the settings of the project at ``root``, by default the one this file is part of.

    Raises:
        ConfigError: a variable has a value that means nothing.
    """
    variant = environ.get("MMDET_JETSON_TRAIN") or _variant_of_this_machine()
    if variant not in ("cpu", "cu113"):
        raise ConfigError(f"MMDET_JETSON_TRAIN is {variant!r}", "set it to cpu or cu113")
    bases = environ.get("MMDET_JETSON_BASES") or "registry"
    if bases not in ("registry", "stand-in"):
        raise ConfigError(f"MMDET_JETSON_BASES is {bases!r}", "set it to registry or stand-in")
    offline = environ.get("MMDET_JETSON_OFFLINE") or "0"
    if offline not in ("0", "1"):
        raise ConfigError(f"MMDET_JETSON_OFFLINE is {offline!r}", "set it to 0 or 1")
    docker = environ.get("DOCKER_CERT_PATH")
    channels = environ.get("MMDET_JETSON_CHANNELS")
    slurm = environ.get("MMDET_JETSON_SLURM")
    cache = environ.get("MMDET_JETSON_CACHE") or _user_cache()
    return Settings(
        root=root,
        cache=_folder(cache),
        artifacts=_folder(environ.get("MMDET_JETSON_ARTIFACTS") or root / "artifacts"),
        mirrors=tuple(environ.get("MMDET_JETSON_MIRRORS", "").split()),
        offline=offline == "1",
        python38=environ.get("MMDET_JETSON_PYTHON38", ""),
        variant=cast("Variant", variant),
        bases=cast("Bases", bases),
        certificates=_certificates(environ),
        docker_host=environ.get("DOCKER_HOST") or environ.get("DOCKER_CONTEXT") or "",
        docker_certificates=_folder(docker) if docker else None,
        ci=environ.get("CI", "").lower() in ("true", "1"),
        channels=_folder(channels) if channels else None,
        variant_is_told=bool(environ.get("MMDET_JETSON_TRAIN")),
        slurm=_folder(slurm) if slurm else None,
    )


def _user_cache() -> str:
    from platformdirs import user_cache_dir  # noqa: PLC0415 - not needed where a variable says it

    return user_cache_dir("mmdet-jetson")


def _folder(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _certificates(environ: Mapping[str, str]) -> Path | None:
    for name in ("MMDET_JETSON_CERTIFICATES", "SSL_CERT_FILE"):
        if environ.get(name):
            return Path(environ[name]).expanduser().absolute()
    return next((path for path in map(Path, SYSTEM_CERTIFICATES) if path.is_file()), None)


def _variant_of_this_machine() -> Variant:
    """Guess without starting anything: a driver is there when its device file is.

    PyTorch's builds with CUDA 11.3 are for x86-64 only, and a Jetson of today has that file, too.
    """
    driver = Path("/dev/nvidia0").exists() and shutil.which("nvidia-smi")
    return "cu113" if driver and platform.machine() == "x86_64" else "cpu"
