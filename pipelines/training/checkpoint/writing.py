"""From a run into the files of a checkpoint: every rank writes its part, the first one makes the whole of them.

Ranks meet in the folder, not in collective calls, which training needs meanwhile: a rank that has written leaves a
receipt, and once there is one of each the first rank adds `state.json` and gives the folder its name.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from dataengine.errors import DataEngineError
from dataengine.whole_file import flush, write_whole
from models import weights
from models.fingerprint import sha256
from pipelines.training.checkpoint import folder
from pipelines.training.checkpoint.snapshot import Snapshot

LOOK_EVERY_S = 0.05
"""Seconds between two looks for the receipts of other ranks."""
SETTLE_S = 30.0
"""Seconds that a run which ends by an error waits for the parts of other ranks."""


class OtherRankError(DataEngineError):
    """Another rank cannot go on, and says why; nothing is wrong with this one."""


@dataclass(frozen=True)
class Writing:
    """The writing of one checkpoint by one rank."""

    directory: Path
    step: int
    snapshot: Snapshot
    rank: int
    num_shards: int
    """1 where the first rank writes all."""
    state: Mapping[str, Any]
    stated: Mapping[str, Any]
    """What `model_config.json` says."""
    files: Mapping[str, str]
    keep_last: int
    best: int | None
    """Step whose checkpoint stays, however old."""

    @property
    def partial(self) -> Path:
        """Where it is written."""
        return folder.unfinished(self.directory, self.step)

    def write(self) -> None:
        """Write this rank's part, and its receipt."""
        self.partial.mkdir(parents=True, exist_ok=True)
        digests: dict[str, str] = {}
        with folder.disk_errors(self.partial):
            if self.rank == 0:
                digests |= self._write_shared()
            for kind, tensors in self.snapshot.tensors.items():
                name = folder.file_name(kind, self.rank, self.num_shards)
                if kind in folder.KINDS and name not in digests:
                    save_file(tensors, self.partial / name)
                    digests[name] = sha256(self.partial / name)
        for name in digests:
            flush(self.partial / name)
        write_whole(self._receipt(self.rank), json.dumps(digests), durable=True)

    def _write_shared(self) -> dict[str, str]:
        """Write what is whole on every rank; return checksums of it."""
        if self.num_shards == 1:
            known = {
                weights.WEIGHTS_NAME: weights.save_tensors(
                    self.partial, self.snapshot.tensors[folder.MODEL], self.stated
                )
            }
        else:
            known = {}
            write_whole(self.partial / weights.CONFIG_NAME, json.dumps(self.stated, indent=2) + "\n")
        folder.write_files(self.partial, self.files)
        save_file(self.snapshot.tensors["rng"], self.partial / folder.RNG_NAME)
        names = {weights.CONFIG_NAME, folder.RNG_NAME, *self.files}
        return known | {name: sha256(self.partial / name) for name in sorted(names)}

    def finish(self, cancelled: threading.Event) -> None:
        """Wait for the parts of all ranks, then make them a checkpoint, and remove those that are no longer kept."""
        receipts = [self._receipt(rank) for rank in range(self.num_shards)]
        while not all(receipt.exists() for receipt in receipts):
            if cancelled.wait(LOOK_EVERY_S):
                return
        digests = {name: digest for receipt in receipts for name, digest in json.loads(receipt.read_bytes()).items()}
        sharded = {"sharded": {"num_shards": self.num_shards, "shapes": self.snapshot.shapes}}
        about = {
            **self.state,
            **self.snapshot.plain,
            **(sharded if self.num_shards > 1 else {}),
            "step": self.step,
            "sha256": digests,
        }
        about = json.loads(json.dumps(about))
        text = json.dumps({**about, "checksum": folder.checksum(about)})
        write_whole(self.partial / folder.STATE_NAME, text, durable=True)
        for receipt in receipts:
            receipt.unlink()
        flush(self.partial)
        self._take_name()
        folder.prune(self.directory, self.step, self.keep_last, self.best, self.files)

    def _take_name(self) -> None:
        final = folder.path(self.directory, self.step)
        if final.exists():
            folder.remove(final, self.files)
        if final.exists():
            raise DataEngineError(f"{final}: holds files that are not of a checkpoint; move them away, then go on")
        self.partial.rename(final)
        flush(self.directory)

    def _receipt(self, rank: int) -> Path:
        return self.partial / f"receipt-{rank:05d}.json"


class Background:
    """One writing at a time, in a thread beside the training."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._is_under_way = False
        self._written, self._cancelled = threading.Event(), threading.Event()
        self._error: Exception | None = None

    @property
    def failed(self) -> bool:
        """Tell whether this rank could not write."""
        return self._error is not None

    def start(self, writing: Writing | None) -> None:
        """Begin, on all ranks, those too that have nothing to write; the one before must have been waited for."""
        assert not self._is_under_way
        self._is_under_way = True
        if writing is None:
            return
        self._written.clear()
        self._cancelled.clear()
        # A daemon: a process that is to end must not wait for ranks that will never write.
        self._thread = threading.Thread(target=self._run, args=(writing,), name="checkpoint", daemon=True)
        self._thread.start()

    def wait(self, any_rank: Callable[[bool], bool]) -> None:
        """Wait until all ranks have written and the checkpoint is there; all of them call it.

        Raise the error of this rank, or OtherRankError where it is another's.
        """
        if not self._is_under_way:
            return
        if self._thread is not None:
            self._written.wait()
        if any_rank(self.failed):
            self._cancelled.set()
        if self._thread is not None:
            self._thread.join()
        self._thread, self._is_under_way = None, False
        if any_rank(self.failed):
            error, self._error = self._error, None
            raise error or OtherRankError("another process could not write its part of a checkpoint, and says why")

    def settle(self) -> None:
        """Let this rank's writing come to its end, without the others: they may be gone, so it is not for long."""
        if self._thread is not None:
            self._written.wait()
            self._thread.join(SETTLE_S)
            self._cancelled.set()
            self._thread.join()

    def _run(self, writing: Writing) -> None:
        try:
            writing.write()
            self._written.set()
            if writing.rank == 0:
                writing.finish(self._cancelled)
        except Exception as error:  # it is raised again by `wait`
            self._error = error
        finally:
            self._written.set()
