"""The checkpoints of one run: all ranks save together, and go on from the newest that is whole."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from models.weights import stated_by
from pipelines.training import checkpoint
from pipelines.training.checkpoint.snapshot import Host, Trained, take
from pipelines.training.checkpoint.writing import Background, Writing
from pipelines.training.continuing import VERSION, changes, check_identity
from pipelines.training.distributed import Distributed
from pipelines.training.settings import LoopConfig

SEEN_WITHIN_S = 20.0
"""Seconds after which a folder that one machine made is seen by all on a disk that they share."""


@dataclass(frozen=True)
class Checkpoints:
    """Saves and restores what a run trains, in `out/checkpoints`."""

    out: Path
    config: LoopConfig
    distributed: Distributed
    trained: Trained
    is_sharded: bool
    identity: Mapping[str, Any]
    """What must not change between calls: settings and data."""
    extra: Mapping[str, Any]
    """What goes into `model_config.json`."""
    files: Mapping[str, str]
    """Small ones that belong beside the weights, by name."""
    say: Callable[[str], None]
    """Tells the user, from the main process."""
    host: Host = field(default_factory=Host)
    background: Background = field(default_factory=Background)

    @property
    def directory(self) -> Path:
        """Where they lie."""
        return self.out / "checkpoints"

    def newest(self) -> str:
        """Say which one a run would go on from."""
        self.background.settle()
        saved = checkpoint.steps(self.directory)
        return f"checkpoint of step {saved[-1]} is whole" if saved else "no checkpoint yet"

    def save(self, step: int, state: Mapping[str, Any], best: int | None = None) -> None:
        """Save a step, with what else the run needs to go on; `best` is another that stays.

        Where checkpoints are asynchronous, only the copy to the host is waited for, and the checkpoint before.
        """
        self.wait()
        self._make_folder(checkpoint.unfinished(self.directory, step))
        writes = self.is_sharded or self.distributed.is_main_process
        self.background.start(self._writing(step, state, best) if writes else None)
        if not self.config.async_checkpoint:
            self.wait()

    def _make_folder(self, partial: Path) -> None:
        """Make the folder to write in, empty: what is left of a killed process is not taken for parts of this one."""
        if self.distributed.is_main_process:
            for left in self.directory.glob(f"{checkpoint.UNFINISHED}*"):
                checkpoint.remove(left, self.files)
            partial.mkdir(parents=True, exist_ok=True)
        self.distributed.barrier()
        deadline = time.monotonic() + SEEN_WITHIN_S
        while self.is_sharded and not partial.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.is_sharded and self.distributed.any(not partial.exists()):
            raise DataEngineError(
                f"{partial}: the first rank made this folder, another does not see it; put --out on a disk that all "
                f"machines share"
            )

    def _writing(self, step: int, state: Mapping[str, Any], best: int | None) -> Writing:
        return Writing(
            directory=self.directory,
            step=step,
            snapshot=take(self.trained, self.distributed.rank, self.host if self.config.async_checkpoint else None),
            rank=self.distributed.rank,
            num_shards=self.distributed.world_size if self.is_sharded else 1,
            state={**state, "identity": self._identity, "elastic": self.config.may_change_on_resume()},
            stated=stated_by(self.trained.model, self.extra),
            files=self.files,
            keep_last=self.config.keep_last,
            best=best,
        )

    def wait(self) -> None:
        """Wait until the checkpoint that is being written is whole; all ranks call it. Raise what kept it from that."""
        self.background.wait(self.distributed.any)

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Finish what is being written, however the block ends."""
        try:
            yield
        finally:
            self.background.settle()

    @property
    def _identity(self) -> dict[str, Any]:
        return {**self.identity, "trainer": VERSION}

    def restore(self) -> dict[str, Any] | None:
        """Go on from the newest one that is whole; return its state, or None where the run begins."""
        saved = checkpoint.steps(self.directory)
        last = self.distributed.broadcast(saved[-1] if saved else -1)
        if last < 0:
            self.distributed.broadcast_weights(self.trained.model)
            return None
        if self.distributed.any(last not in saved):
            raise DataEngineError(
                f"{self.out}: the first rank goes on from step {last}, another finds no such checkpoint; put --out on "
                f"a disk that all machines share"
            )
        state = self._load([step for step in saved if step <= last])
        for line in changes(state["elastic"], self.config, state["step"], self.out):
            self.say(line)
        return state

    def _load(self, saved: Sequence[int]) -> dict[str, Any]:
        """Restore the newest checkpoint that is whole, and say which are not."""
        for step in reversed(saved):
            folder, damaged = checkpoint.path(self.directory, step), False
            try:
                state = checkpoint.read_state(folder, self.distributed.rank, self.distributed.world_size)
                check_identity(state["identity"], self._identity, self.config, self.out)
                checkpoint.load(folder, state, self.trained)
            except checkpoint.DamagedCheckpointError as error:
                damaged = True
                self.say(f"{error}; going back to the checkpoint before, if there is one")
            if not self.distributed.any(damaged):
                return state
        raise DataEngineError(
            f"{self.directory}: no checkpoint is whole (steps {', '.join(map(str, saved))}); copy one from "
            f"elsewhere, or delete that folder to begin anew"
        )
