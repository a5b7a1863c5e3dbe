"""A registry that answers what is wrong: one sentence, nothing stored, and no secret goes elsewhere."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from commands import ROOT
from registry_faults import body, changed, cut_answer, drip, endless, header, redirect
from registry_server import PASSWORD, USER, Answer, Fault, Handler, RegistryServer
from small_artifacts import PROVENANCE

from mmdet_jetson.store import Store
from mmdet_jetson.store.oci import INDEX, MANIFEST, digest_of

REPOSITORY = "team/mugs"
MANIFESTS, BLOBS, UPLOADS = "/manifests/", "/blobs/sha256:", "/blobs/uploads/"
ALWAYS = 99
# Waits a fraction of what a user's network is given, so that it ends in seconds.
IMPATIENT = """
import sys
from mmdet_jetson.registry.connections import Patience
Patience.__init__.__defaults__ = (3, 3, 1, 1024, 3, 0.01, 0.02)
from invoke.main import program
program.run(["invoke", *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Site:
    """A registry that has a run of one engine, another host beside it, and a store elsewhere."""

    folder: Path
    server: RegistryServer
    other: RegistryServer

    @property
    def target(self) -> Store:
        return Store(self.folder / "target")

    def run(self, way: str, name: str = "mugs") -> "subprocess.CompletedProcess[str]":
        login = {"username": USER, "password": PASSWORD}
        (self.folder / "config.json").write_text(json.dumps({"auths": {self.server.address: login}}))
        store = self.folder / ("source" if way == "push" else "target")
        ends = {"push": "--to", "pull": "--from"}
        return subprocess.run(
            [sys.executable, "-c", IMPATIENT, way, name, ends[way], self.server.place(REPOSITORY)],
            cwd=ROOT,
            env={
                **os.environ,
                "MMDET_JETSON_ARTIFACTS": str(store),
                "MMDET_JETSON_CACHE": str(self.folder / "cache"),
                "DOCKER_CONFIG": str(self.folder),
            },
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
