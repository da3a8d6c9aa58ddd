"""Episodes of a corpus at random: numbers and encoded frames are read when they are wanted, for many windows at once.

Steps that curation trimmed (`trim_start` at the head, `trim_end` at the tail) do not exist here: step 0, frame 0 and
latent action 0 of an episode are the first that stay. In the table every column keeps the whole episode.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.episode import CAMERA_SLOTS
from dataengine.errors import DataEngineError
from dataengine.schema import ROBOTS_KEY, offsets_column
from dataengine.store.kept import DROPPED, Kept
from dataengine.store.read.corpus import Corpus
from dataengine.store.read.episodes import DIMS, FIRST, POSITION, read_episodes
from dataengine.store.read.felt import read_felt
from dataengine.store.read.framing import framings
from dataengine.store.read.list_columns import ListColumns
from dataengine.windows import labels, stats, stats_table
from dataengine.windows.episode_info import DataIdentity, EpisodeInfo
from dataengine.windows.hands import NEEDED, Felt
from dataengine.windows.stats import EmbodimentStatistics
from dataengine.windows.window import LatentInfo, steps_per_latent


class TableReader:
    """An `EpisodeReader` over a corpus, as it is now or was at a snapshot.

    One in an object store is read through copies on this machine where `copies_bytes` are room for it.
    Of the episodes it gives those that curation kept, without idle ends, or all. With `use_hands`, people
    whose hands tell it have a state and an action, too (`windows/hands.py`), in which NaN is what is absent.
    """

    frame_side = None
    """Frames are as they were ingested."""

    def __init__(
        self, corpus: Corpus, *, kept_only: bool = True, use_hands: bool = False, copies_bytes: float = 0
    ) -> None:
        # Rows are named by where they lie at this version, so it stays whatever becomes of the corpus.
        self.corpus, self.uri = corpus.copied(copies_bytes), corpus.uri
        self._kept_only = kept_only
        self.episodes, fingerprint = read_episodes(self.corpus, kept_only=kept_only)
        if not len(self.episodes):
            dropped = "; curation dropped all it has" if self._kept().left_out.get(DROPPED) else ""
            raise DataEngineError(f"{corpus.uri} holds no episodes to train on{dropped}")
        self._first = self.episodes.numbers(FIRST)
        """(e,) steps of each episode that are left out before its first."""
        self._position = self.episodes.numbers(POSITION)
        self._dims = dict(zip(("state", "action"), map(self.episodes.numbers, DIMS), strict=True))
        self._columns = ListColumns(self.corpus.lance_table)
        self._felt = self._use_hands() if use_hands else Felt()
        self._labelled: set[str] = set()
        self._num_bytes: NDArray[np.int64] | None = None
        self.identity = DataIdentity(
            uri=corpus.uri, version=corpus.version, fingerprint=fingerprint, framings=framings(self.corpus)
        )
        if corpus.snapshot is not None:
            self.identity = replace(self.identity, snapshot=corpus.snapshot.name, mixture=corpus.snapshot.mixture)

    @property
    def latents(self) -> tuple[str, ...]:
        """Names of the latent actions that there are."""
        return tuple(labels.label_names(self.corpus.schema))

    def fetch(self, rows: Sequence[int], lam: str = "") -> None:
        """Read the vectors of some episodes, and their latent actions by `lam`, in one go."""
        labelled = labels.label_columns(self.corpus.schema, lam) if lam else []
        self._columns.fetch(["state", "action", *labelled], self._position[list(rows)].tolist())
        self._felt.fetch(rows)

    def state(self, row: int) -> NDArray[np.float32] | None:
        """Give canonical states (t, s), or None for a human clip."""
        return self._vectors("state", row)

    def action(self, row: int) -> NDArray[np.float32] | None:
        """Give canonical actions (t, a)."""
        return self._vectors("action", row)

    def latent_info(self, lam: str) -> LatentInfo:
        """Say who made the latent actions."""
        return labels.label_info(self.corpus.schema, lam)

    def latent(self, row: int, lam: str) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        """Give latent actions (t, k, d) and codes (t, k)."""
        info = self.latent_info(lam)
        self._check_labelled(info)
        episode, position = self.episodes[row], int(self._position[row])
        names = labels.label_columns(self.corpus.schema, lam)
        cells = self._columns.fetch(names, [position])
        flat = [values for name in names if (values := cells[name, position]) is not None]
        if len(flat) < len(names):  # no camera saw anything
            steps = episode.num_steps
            return np.zeros((steps, info.k, info.d), np.float32), np.full((steps, info.k), labels.NO_CODE, np.int16)
        shaped = labels.unflatten(info, self.codebook(lam), *flat)
        return _trim_latents(shaped, int(self._first[row]), episode, info)

    def codebook(self, lam: str) -> NDArray[np.float32] | None:
        """Give the vectors (n, d) of the codes; None where labels hold their own."""
        return labels.label_codebook(self.corpus.schema, lam)

    def jpegs(self, slot: str, wanted: Sequence[tuple[int, int]]) -> list[bytes | memoryview]:
        """See encoded frames for (row, frame) pairs, in one go where they must be read."""
        rows, frames = np.array(wanted, dtype=np.int64).reshape(-1, 2).T
        beyond = np.flatnonzero((frames < 0) | (frames >= self._num_steps[rows]))
        if len(beyond):  # also what curation trimmed is none of its frames
            episode, frame = self.episodes[int(rows[beyond[0]])], int(frames[beyond[0]])
            raise DataEngineError(f"episode {episode.episode_id} has {episode.num_steps} frames, no frame {frame}")
        return self.corpus.read_frames(slot, self._position[rows].tolist(), (self._first[rows] + frames).tolist())

    def num_bytes(self, row: int) -> int:
        """Count the bytes of an episode's frames."""
        if self._num_bytes is None:
            self._num_bytes = self._count_bytes()
        return int(self._num_bytes[row])

    def widths(self, name: str) -> NDArray[np.int32]:
        """(e,) widths of each episode's `state` or `action`; 0 where it has none."""
        return self._dims[name]

    def statistics(self) -> dict[str, EmbodimentStatistics]:
        """Give statistics by embodiment, as `villa stats` left them; raise DataEngineError if they are out of date."""
        table = self.corpus.stats()
        measured = (table.schema.metadata or {}).get(ROBOTS_KEY) if table is not None else None
        if measured is not None and measured.decode() != self.corpus.robots_hash():
            raise DataEngineError(
                f"{self.corpus.uri}: its statistics are of other episodes or steps than those that count now; "
                f"run `villa stats` again, which reads only what is new"
                + (", and take another snapshot" if self.corpus.snapshot else "")
            )
        robots = stats.by_embodiment(stats_table.from_table(table)) if table is not None else {}
        missing = {s.embodiment for s in self.episodes.setups if s.kind == "robot"} - set(robots)
        if missing:
            raise DataEngineError(
                f"{self.corpus.uri} has no statistics of {', '.join(sorted(missing))}; run `villa stats` on it"
            )
        return robots | dict(self._felt.statistics)

    def felt(self) -> Felt:
        """Say what people's hands felt: a state and an action of each whose hands tell them."""
        return read_felt(self.corpus.lance_table, self._kept(), self.episodes, self._position, self._first)

    def _use_hands(self) -> Felt:
        """Give people a state and an action of their hands."""
        felt = self.felt()
        if not felt.is_any:
            raise DataEngineError(
                f"{self.uri}: found no {NEEDED}; ingest them with the files of their hands in place, or leave "
                f"use_hands out"
            )
        return felt

    def _kept(self, where: str | None = None) -> Kept:
        return self.corpus.kept(kept_only=self._kept_only, where=where)

    def _vectors(self, name: str, row: int) -> NDArray[np.float32] | None:
        flat, width = self._columns.get(name, int(self._position[row])), int(self._dims[name][row])
        if flat is None or not width:
            of_hands = self._felt.vectors(row)
            return None if of_hands is None else of_hands[name == "action"]
        first = int(self._first[row])
        return flat.reshape(-1, width)[first : first + int(self._num_steps[row])]

    @cached_property
    def _num_steps(self) -> NDArray[np.int32]:
        return self.episodes.num_steps

    def _check_labelled(self, info: LatentInfo) -> None:
        """Raise DataEngineError unless every episode that the model's camera saw has latent actions."""
        if info.name in self._labelled:
            return
        height, codes = f"height_{labels.label_slot(self.corpus.schema, info.name)}", labels.codes_column(info.name)
        seen = f" AND {height} > 0" if height in self.corpus.schema.names else " AND FALSE"
        unlabelled = int(self._kept(f"{codes} IS NULL{seen}").choice.mask.sum())
        if unlabelled:
            raise DataEngineError(
                f"{unlabelled} of {len(self.episodes)} kept episodes have no latent actions of '{info.name}'; "
                f"run `villa label` on {self.corpus.uri} again"
            )
        self._labelled.add(info.name)

    def _count_bytes(self) -> NDArray[np.int64]:
        """(e,) bytes of each episode's frames, by their offsets."""
        names = [name for name in map(offsets_column, CAMERA_SLOTS) if name in self.corpus.schema.names]
        order = np.argsort(self._position)  # rows, as the table has them
        sizes, start = np.zeros(len(order), np.int64), 0
        for batch in self._kept().batches(names):
            rows = order[start : start + len(batch)]
            first = self._first[rows].astype(np.int64)
            for column in batch.columns:
                sizes[rows] += _bytes_between(column, first, first + self._num_steps[rows])
            start += len(batch)
        return sizes


def _trim_latents(
    whole: tuple[NDArray[np.float32], NDArray[np.int16]], first: int, episode: EpisodeInfo, info: LatentInfo
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Leave out steps that curation cut off; an action that leads to one of them is none."""
    steps = slice(first, first + episode.num_steps)
    latent, code = whole[0][steps], whole[1][steps]
    if first + episode.num_steps < len(whole[0]):
        leaving = max(episode.num_steps - steps_per_latent(episode.control_hz, info.interval_s), 0)
        latent, code = latent.copy(), code.copy()
        latent[leaving:], code[leaving:] = 0, labels.NO_CODE
    return latent, code


def _bytes_between(column: pa.ListArray, first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """(e,) bytes of the frames from the first to before the end, by their offsets; 0 where there is no list."""
    values, starts = column.values.to_numpy(zero_copy_only=False), column.offsets.to_numpy()[:-1]
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    sizes = np.zeros(len(column), np.int64)
    sizes[valid] = values[starts[valid] + end[valid]] - values[starts[valid] + first[valid]]
    return sizes
