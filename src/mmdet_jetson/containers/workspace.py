"""What we keep on an engine: inputs, uploaded once, and the folder of each job that runs there.

Containers carry labels, and volumes names, that say which store they are of and which job. While
a job runs, its lock is held here; what is found there without a holder was left by a run that was
killed or cut off, and the next command clears it away. Volumes have no labels since Podman gives
none to those that are made along with a container.

========= =========================================== =============================================
kind      what                                        removed
========= =========================================== =============================================
stage     the container that a stage runs in          when it ended; its volume ``job`` with it
upload    a container through which an input goes up  when the input is whole
input     a volume with one input, named by content   by ``invoke gc``
job       a volume with a job folder                  when its outputs are home
resumable the same, of a stage that can resume        the same; its work comes home before
========= =========================================== =============================================
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from mmdet_jetson.containers.docker_host import Engine
from mmdet_jetson.containers.objects import LABEL, Attached, Box, ConnectionLost, EngineError
from mmdet_jetson.containers.transfer import ended, pack, pack_mark, receive
from mmdet_jetson.errors import UserError
from mmdet_jetson.locks import hold, is_free
from mmdet_jetson.running.jobs import lock_of

CLIENT, KIND, JOB = f"{LABEL}.client", f"{LABEL}.kind", f"{LABEL}.job"
VOLUME = f"{LABEL}.volume"
CONTENT, WHOLE = "content", ".whole"
SETTLING = 20  # seconds that an engine gets for what it had begun


@dataclass(frozen=True)
class Shelf:
    """What one store has on one engine."""

    engine: Engine
    root: Path
    """The store's folder."""
    say: Callable[[str], None] = print

    @property
    def client(self) -> str:
        """Who we are to the engine: a random name that this store got once."""
        path = self.root / "client"
        if not path.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            with hold(self.root / "client.lock"):
                if not path.exists():
                    path.write_text(secrets.token_hex(6))
        return path.read_text()

    def labels(self, kind: str, job: str, **more: str) -> dict[str, str]:
        """The labels of a container of ours."""
        return {CLIENT: self.client, KIND: kind, JOB: job, **more}

    def volume(self, kind: str, what: str = "") -> str:
        """The name of a volume of ours, or how the names of all of a kind begin."""
        return f"mmdet-jetson-{self.client}-{kind}-{what}"

    def upload(self, job: str, name: str, digest: str, folder: Path) -> Attached:
        """Bring an input to the engine, unless it is there already; give its read-only volume.

        ``digest`` stands for the content; names and sizes of the files are part of the volume's
        name too, since a digest of a file says nothing of how it is called in its folder.
        """
        listing = hashlib.sha256(f"{digest}\n{_listing(folder)}".encode()).hexdigest()
        volume = self.volume("input", listing[:16])
        mount = Attached(volume, "/input", read_only=False)
        with (
            hold(self._upload_lock(volume)) as lock,
            self.engine.holder(mount, labels=self.labels("upload", job, **{VOLUME: volume})) as box,
        ):
            if self.engine.get(box, f"/input/{WHOLE}") is None:
                self.say(f"uploading {name} to {self.engine.facts.name}")
                self.engine.put(box, "/input", ended(pack(folder, CONTENT)))
                self.engine.put(box, "/input", ended(pack_mark(WHOLE)))
            Path(lock.name).unlink(missing_ok=True)
        return Attached(volume, f"/inputs/{name}")

    @contextmanager
    def stage(self, box: Box, job: str, *, resumable: bool) -> Iterator[str]:
        """Create a stage's container, not started yet, with an empty volume at /job.

        In the end both are gone. If that end is an error, the work of a resumable stage comes home
        first; while the engine is out of reach all stays there, for the sweep of a later command.
        """
        self.clear(job)
        name = self.volume("resumable" if resumable else "job", job)
        volume = Attached(name, "/job", read_only=False)
        labels = self.labels("stage", job)
        container = self.engine.create(replace(box, volumes=[*box.volumes, volume], labels=labels))
        try:
            yield container
        except BaseException:
            with suppress(ConnectionLost):
                self.clear(job)
            raise
        self.engine.remove(container)
        self.engine.remove_volume(name)

    def sweep(self) -> int:
        """Clear away what runs that were killed or cut off left; return of how many jobs.

        What a training had made until then comes home first, so that the next run resumes.
        """
        cleared = sum(self._clear(job) for job in sorted(self._jobs_there()))
        # Podman may have made a volume of which its container never came to be.
        for lock in (self.root / "jobs").glob(f"{self.volume('input')}*.lock"):
            self._drop_unfinished(lock.stem)
        return cleared

    def forget_inputs(self) -> int:
        """Remove the uploaded inputs that no container uses; return how many."""
        inputs = self.engine.volumes(self.volume("input"))
        return sum(self._try_to_remove(volume) for volume in inputs)

    @retry(
        retry=retry_if_exception(lambda error: type(error) is EngineError),
        stop=stop_after_delay(SETTLING),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    def clear(self, job: str) -> None:
        """Remove all that belongs to a job whose lock we hold.

        Of a client that was just killed, the engine may still be making a container: its volume
        cannot be removed until that one shows up and can be.
        """
        for found in self.engine.containers({CLIENT: self.client, JOB: job}):
            self.engine.remove(found.id)
            if VOLUME in found.labels:
                self._drop_unfinished(found.labels[VOLUME])
        for volume in self.engine.volumes(self.volume("resumable", job)):
            with self.engine.holder(
                Attached(volume, "/job"), labels=self.labels("upload", job)
            ) as box:
                self.bring_work(box, job)
            self.engine.remove_volume(volume)
        self.engine.remove_volume(self.volume("job", job))

    def _drop_unfinished(self, volume: str) -> None:
        lock = self._upload_lock(volume)
        if is_free(lock):
            lock.unlink(missing_ok=True)
            self._try_to_remove(volume)

    def _try_to_remove(self, volume: str) -> bool:
        """Remove a volume, unless a container uses it."""
        try:
            self.engine.remove_volume(volume)
        except ConnectionLost:
            raise
        except EngineError:
            return False
        return True

    def _upload_lock(self, volume: str) -> Path:
        return self.root / f"jobs/{volume}.lock"

    def bring_work(self, container: str, job: str) -> None:
        """Replace the job's local work by what its stage has made of it."""
        packed = self.engine.get(container, "/job/work")
        try:
            if packed is not None:
                receive(packed, self.root / "jobs" / job / "work")
        except ConnectionLost:
            raise
        except UserError as error:
            self.say(f"{job}: what it had made until then is lost: {error.message}")

    def _jobs_there(self) -> set[str]:
        """The jobs that anything there belongs to."""
        found = self.engine.containers({CLIENT: self.client})
        jobs = {each.labels[JOB] for each in found if JOB in each.labels}
        for beginning in (self.volume("job"), self.volume("resumable")):
            jobs |= {name.removeprefix(beginning) for name in self.engine.volumes(beginning)}
        return jobs

    def _clear(self, job: str) -> bool:
        lock = lock_of(self.root / "jobs" / job)
        if not is_free(lock):
            return False
        with hold(lock):
            self.clear(job)
            lock.unlink(missing_ok=True)
        return True


def _listing(folder: Path) -> str:
    """Names and sizes of all files, sorted."""
    files = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return "\n".join(sorted(f"{each.relative_to(folder)} {each.stat().st_size}" for each in files))
