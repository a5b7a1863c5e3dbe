"""What a store has on a Docker host: inputs, uploaded once, and the folder of each running job.

The labels of containers and the names of volumes say which store they belong to and which job.
While a job runs, its lock is held here; what is there without anybody holding the lock was left by
a run that was killed or cut off, and the next command clears it away. Volumes have no labels since
Podman gives none to those that are made along with a container.

A Docker host keeps a volume as long as any container has it, started or not. So an input has one
from before it is looked for until its stage ended, and no ``invoke gc``, on whatever machine, comes
between.

========= =========================================== =============================================
kind      what                                        removed
========= =========================================== =============================================
stage     the container that a stage runs in          when it ended; its volume ``job`` with it
upload    a container to upload an input through      when a stage's container has the input
input     a volume with one input, named by content   by ``invoke gc``, where no container has it
job       a volume with a job folder                  when its outputs are downloaded
resumable the same, of a stage that can resume        the same; its work is downloaded before
========= =========================================== =============================================
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from mmdet_jetson.config.settings import Settings
from mmdet_jetson.containers.docker_host import DockerHost, connect
from mmdet_jetson.containers.objects import (
    LABEL,
    ConnectionLost,
    ContainerSpec,
    DockerHostError,
    VolumeMount,
)
from mmdet_jetson.containers.transfer import receive
from mmdet_jetson.containers.uploads import WHOLE, Contents, Uploads, notes_of
from mmdet_jetson.contract.files import write_whole
from mmdet_jetson.contract.job import WORK
from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold, hold_if_free, lock_beside
from mmdet_jetson.store import Store

CLIENT, KIND, JOB = f"{LABEL}.client", f"{LABEL}.kind", f"{LABEL}.job"
VOLUME = f"{LABEL}.volume"
STAGE = "stage"
"""The kind of container that a stage runs in."""
UPLOADING = ".uploading"
SETTLING = 20  # seconds that a Docker host gets for what it had begun


@dataclass(frozen=True)
class Input:
    """What a stage reads, in a folder of this machine; ``digest`` is that of its content."""

    digest: str
    folder: Path
    known: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 in hex of some of its files, by their paths there."""


def input_folder(name: str) -> str:
    """Where a stage's container has an input mounted; its files are in ``content`` there."""
    return f"/inputs/{name}"


@dataclass(frozen=True)
class Workspace:
    """What one store has on one Docker host."""

    host: DockerHost
    root: Path
    """The store's folder."""
    say: Callable[[str], None] = print

    @property
    def client(self) -> str:
        """The store's name there: a random one that it got once."""
        path = self.root / "client"
        if not path.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            with hold(self.root / "client.lock"):
                if not path.exists():
                    # A half-written name would be that of every store with one.
                    write_whole(path, secrets.token_hex(6).encode())
        return path.read_text()

    def labels(self, kind: str, job: str, **more: str) -> dict[str, str]:
        """The labels of a container of this store."""
        return {CLIENT: self.client, KIND: kind, JOB: job, **more}

    def volume(self, kind: str, name: str = "") -> str:
        """The name of a volume of this store, or the prefix of the names of all of a kind."""
        return f"mmdet-jetson-{self.client}-{kind}-{name}"

    @contextmanager
    def _uploaded(self, job: str, name: str, given: Input, image: str) -> Iterator[VolumeMount]:
        """Upload an input, unless it is there already, and keep it there meanwhile.

        What another input has of it is copied there, in a container of an image. Gives its volume,
        to be mounted read-only. Names and sizes of the files are part of the volume's name too,
        since a digest of a file says nothing of how it is called in its folder.
        """
        named = f"{given.digest}\n{_listing(given.folder)}".encode("utf-8", "surrogateescape")
        volume = self.volume("input", hashlib.sha256(named).hexdigest()[:16])
        mount = VolumeMount(volume, "/input", read_only=False)
        labels = self.labels("upload", job, **{VOLUME: volume})
        with ExitStack() as kept:
            with hold(self._upload_lock(volume)):
                # Before the volume exists: what is there while nobody holds its lock was cut off.
                self._uploading(volume).touch()
                container = kept.enter_context(self.host.never_started(mount, labels=labels))
                if self.host.get(container, f"/input/{WHOLE}") is None:
                    contents = Contents(given.folder, given.known)
                    uploads = self._uploads(image, labels)
                    uploads.fill(container, volume, name, contents, self._inputs(volume))
                self._uploading(volume).unlink()
            yield VolumeMount(volume, input_folder(name))

    def _uploads(self, image: str, labels: Mapping[str, str]) -> Uploads:
        return Uploads(self.host, self._notes, image, labels, self.say, self._drop)

    @property
    def _notes(self) -> Path:
        """The folder with what volumes were filled from. It may be deleted."""
        return self.root / "uploads"

    def _inputs(self, but: str) -> list[str]:
        """The volumes with other inputs. They may be half there, or gone in a moment."""
        return [each for each in self.host.volumes(self.volume("input")) if each != but]

    @contextmanager
    def stage(
        self, spec: ContainerSpec, job: str, inputs: Mapping[str, Input], *, resumable: bool
    ) -> Iterator[str]:
        """Create a stage's container, not started yet, with its inputs and an empty volume at /job.

        In the end the container and that volume are gone. If that end is an error, the work of a
        resumable stage is downloaded first; while the Docker host is out of reach, all stays there
        for the `sweep` of a later command.
        """
        self.clear(job)
        name = self.volume("resumable" if resumable else "job", job)
        try:
            container = self._create(spec, job, inputs, VolumeMount(name, "/job", read_only=False))
            yield container
        except BaseException:
            with suppress(ConnectionLost):
                self.clear(job)
            raise
        self.host.remove(container)
        self.host.remove_volume(name)

    def _create(
        self, spec: ContainerSpec, job: str, inputs: Mapping[str, Input], own: VolumeMount
    ) -> str:
        """Create a stage's container, and look whether it sees the inputs that were uploaded.

        Raises:
            DockerHostError: it does not.
        """
        with ExitStack() as kept:
            mounts = [
                kept.enter_context(self._uploaded(job, name, each, spec.image))
                for name, each in inputs.items()
            ]
            labels = self.labels(STAGE, job)
            container = self.host.create(replace(spec, volumes=[*mounts, own], labels=labels))
            for mount in mounts:
                if self.host.get(container, f"{mount.target}/{WHOLE}") is None:
                    raise DockerHostError(
                        f"{mount.target} was uploaded to {self.host.facts.name} for {job}, whose"
                        " container finds nothing there",
                        "run again; `docker system prune` there takes what runs need, too",
                    )
        return container

    def sweep(self) -> int:
        """Clear away what runs that were killed or cut off left; return of how many jobs.

        What a training had made until then is downloaded first, so that the next run resumes.
        """
        cleared = sum(self._clear(job) for job in sorted(self._jobs_there()))
        # Podman may have made a volume whose container was never created.
        for mark in (self.root / "jobs").glob(f"{self.volume('input')}*{UPLOADING}"):
            self._drop_unfinished(mark.stem)
        return cleared

    def unused_inputs(self) -> list[str]:
        """The volumes of uploaded inputs that no container has."""
        return sorted(self.host.volumes(self.volume("input"), unused=True))

    def forget_inputs(self) -> int:
        """Remove the uploaded inputs that no container has; return how many."""
        inputs = self.host.volumes(self.volume("input"))
        removed = [volume for volume in inputs if self._try_to_remove(volume)]
        for volume in removed:
            notes_of(self._notes, volume).unlink(missing_ok=True)
        return len(removed)

    @retry(
        retry=retry_if_exception(lambda error: type(error) is DockerHostError),
        stop=stop_after_delay(SETTLING),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    def clear(self, job: str) -> None:
        """Remove all that belongs to a job whose lock we hold.

        For a client that was just killed, the Docker host may still be creating a container: its
        volume cannot be removed until that one is listed and can be removed.
        """
        for container in self.host.containers({CLIENT: self.client, JOB: job}):
            self.host.remove(container.id)
            if VOLUME in container.labels:
                self._drop_unfinished(container.labels[VOLUME])
        for volume in self.host.volumes(self.volume("resumable", job)):
            self._download_work(volume, job)
            self.host.remove_volume(volume)
        self.host.remove_volume(self.volume("job", job))

    def _drop_unfinished(self, volume: str) -> None:
        """Remove the volume of an upload that was cut off; one that ended is whole, and stays."""
        with hold_if_free(self._upload_lock(volume)) as held:
            mark = self._uploading(volume)
            if held and mark.exists() and self._try_to_remove(volume):
                mark.unlink()

    def _drop(self, volume: str) -> None:
        """Remove the volume of an input that is not whole, unless somebody is uploading it."""
        with hold_if_free(self._upload_lock(volume)) as held:
            if held:
                self._try_to_remove(volume)

    def _try_to_remove(self, volume: str) -> bool:
        """Remove a volume, unless a container uses it."""
        try:
            self.host.remove_volume(volume)
        except ConnectionLost:
            raise
        except DockerHostError:
            return False
        return True

    def _upload_lock(self, volume: str) -> Path:
        return lock_beside(self._uploading(volume))

    def _uploading(self, volume: str) -> Path:
        """The file that exists while an upload is not known to have ended."""
        return self.root / f"jobs/{volume}{UPLOADING}"

    def _download_work(self, volume: str, job: str) -> None:
        """Replace the job's local work by what its stage has made of it in the volume."""
        mount, labels = VolumeMount(volume, "/job"), self.labels("upload", job)
        with self.host.never_started(mount, labels=labels) as container:
            packed = self.host.get(container, "/job/work")
            try:
                if packed is not None:
                    receive(packed, self.root / "jobs" / job / WORK)
            except ConnectionLost:
                raise
            except UserError as error:
                self.say(f"{job}: its work so far is lost: {error.message}")

    def _jobs_there(self) -> set[str]:
        """The jobs that anything there belongs to."""
        containers = self.host.containers({CLIENT: self.client})
        jobs = {each.labels[JOB] for each in containers if JOB in each.labels}
        for prefix in (self.volume("job"), self.volume("resumable")):
            jobs |= {name.removeprefix(prefix) for name in self.host.volumes(prefix)}
        return jobs

    def _clear(self, job: str) -> bool:
        with hold_if_free(lock_beside(self.root / "jobs" / job)) as held:
            if held:
                self.clear(job)
            return held


def _listing(folder: Path) -> str:
    """Names and sizes of all files, sorted."""
    walked = os.walk(folder, followlinks=True)  # a large folder may be a link to a shared checkout
    files = (Path(parent, name) for parent, _, names in walked for name in names)
    return "\n".join(sorted(f"{each.relative_to(folder)} {each.stat().st_size}" for each in files))


def look(address: str, settings: Settings, store: Store) -> Workspace:
    """Connect to a Docker host, and change nothing there."""
    return Workspace(connect(address, settings), store.root)


def open_workspace(
    address: str, settings: Settings, store: Store, say: Callable[[str], None]
) -> Workspace:
    """Connect to a Docker host, and clear away what killed runs of this store left there."""
    workspace = Workspace(connect(address, settings), store.root, say)
    workspace.sweep()
    return workspace
