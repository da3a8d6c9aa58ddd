"""Episodes of a corpus at random: numbers in memory, encoded frames in batched reads of byte ranges.

Steps that curation trimmed (`trim_start` at the head, `trim_end` at the tail) do not exist here: step 0, frame 0 and
latent action 0 of an episode are the first that stay. In the table every column keeps the whole episode.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dataengine.episode import CAMERA_SLOTS
from dataengine.errors import DataEngineError
from dataengine.hands import Hands
from dataengine.hands import rows as hands_rows
from dataengine.schema import HANDS, ROBOTS_KEY, offsets_column
from dataengine.store.kept import DROPPED, infos, trims_of
from dataengine.store.read.corpus import Corpus
from dataengine.store.read.framing import shapes
from dataengine.windows import labels, stats, stats_table
from dataengine.windows.hands import NEEDED, Felt, HandStatistics, Vectors, vectors
from dataengine.windows.stats import EmbodimentStatistics
from dataengine.windows.window import EpisodeInfo, LatentInfo, identify, steps_per_latent


class TableReader:
    """An `EpisodeReader` over a corpus, as it is now or was at a snapshot.

    Of the episodes it gives those that curation kept, without idle ends, or all. With `use_hands`, people
    whose hands tell it have a state and an action, too (`windows/hands.py`), in which NaN is what is absent.
    """

    def __init__(self, corpus: Corpus, *, kept_only: bool = True, use_hands: bool = False) -> None:
        self.corpus, self.uri = corpus, corpus.uri
        self._kept_only = kept_only
        kept = corpus.kept(kept_only=kept_only)
        table = kept.table([*kept.facts, "state", "state_dim", "action", "action_dim"])
        self._first, _ = trims_of(table)
        """(e,) steps of each episode that are left out before its first."""
        self.episodes = infos(table)
        if not self.episodes:
            dropped = "; curation dropped all it has" if kept.left_out.get(DROPPED) else ""
            raise DataEngineError(f"{corpus.uri} holds no episodes to train on{dropped}")
        self._state = self._trimmed(_rows(table["state"], table["state_dim"]))
        self._action = self._trimmed(_rows(table["action"], table["action_dim"]))
        self._felt = self._use_hands() if use_hands else Felt()
        self._latents: dict[str, tuple[list[NDArray[np.float32]], list[NDArray[np.int16]]]] = {}
        self._num_bytes: NDArray[np.int64] | None = None
        framings = {name: one.framing for name, one in shapes(corpus).items()}
        identity = identify(corpus.uri, corpus.version, self.episodes, self._first.tolist())
        self.identity = replace(identity, framings=framings)
        if corpus.snapshot is not None:
            self.identity = replace(self.identity, snapshot=corpus.snapshot.name, mixture=corpus.snapshot.mixture)

    @property
    def latents(self) -> tuple[str, ...]:
        """Names of the latent actions that there are."""
        return tuple(labels.label_names(self.corpus.schema))

    def state(self, row: int) -> NDArray[np.float32] | None:
        """Give canonical states (t, s), or None for a human clip."""
        return self._state[row]

    def action(self, row: int) -> NDArray[np.float32] | None:
        """Give canonical actions (t, a)."""
        return self._action[row]

    def latent_info(self, lam: str) -> LatentInfo:
        """Say who made the latent actions."""
        return labels.label_info(self.corpus.schema, lam)

    def latent(self, row: int, lam: str) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
        """Give latent actions (t, k, d) and codes (t, k)."""
        if lam not in self._latents:
            self._latents[lam] = self._read_latents(self.latent_info(lam))
        latent, codes = self._latents[lam]
        return latent[row], codes[row]

    def jpegs(self, slot: str, wanted: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read encoded frames for (row, frame) pairs in one go."""
        return self.corpus.jpegs(slot, [self._frame(row, frame) for row, frame in wanted])

    def num_bytes(self, row: int) -> int:
        """Count the bytes of an episode's frames."""
        if self._num_bytes is None:
            names = self.corpus.schema.names
            table = self._read([name for name in map(offsets_column, CAMERA_SLOTS) if name in names])
            ends = self._first + np.array([e.num_steps for e in self.episodes], np.int64)
            sizes = [_bytes_between(column, self._first, ends) for column in table.columns]
            self._num_bytes = np.sum(sizes, axis=0)
        return int(self._num_bytes[row])

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
        missing = {e.embodiment for e in self.episodes if e.kind == "robot"} - set(robots)
        if missing:
            raise DataEngineError(
                f"{self.corpus.uri} has no statistics of {', '.join(sorted(missing))}; run `villa stats` on it"
            )
        return robots | dict(self._felt.statistics)

    def felt(self) -> Felt:
        """Read the hands of people: a state and an action of each whose hands tell them."""
        names = [field.name for field in HANDS]
        by_row: dict[int, Vectors] = {}
        measured: dict[str, HandStatistics] = {}
        if names[0] in self.corpus.schema.names:
            rows = {e.episode_id: e for e in self.episodes if e.kind == "human"}
            kept = self.corpus.kept(kept_only=self._kept_only, kind="human", where="hands_wrist IS NOT NULL")
            for batch in kept.batches(["episode_id", *names]):
                for i, episode_id in enumerate(batch["episode_id"].to_pylist()):
                    episode = rows.get(episode_id)
                    hands = hands_rows.from_row({name: batch[name][i] for name in names})
                    if episode is None or (of_hands := self._vectors_of_hands(episode, hands)) is None:
                        continue
                    by_row[episode.row] = of_hands
                    measured.setdefault(episode.embodiment, HandStatistics()).add(episode.dataset, of_hands)
        statistics = {name: one.statistics() for name, one in measured.items()}
        return Felt(by_row, {name: one for name, one in statistics.items() if one is not None})

    def _vectors_of_hands(self, episode: EpisodeInfo, hands: Hands | None) -> Vectors | None:
        """Give what the hands of an episode tell at the steps that count."""
        whole = vectors(hands) if hands is not None else None
        first = int(self._first[episode.row])
        steps = slice(first, first + episode.num_steps)
        return None if whole is None else (whole[0][steps], whole[1][steps])

    def _use_hands(self) -> Felt:
        """Give people a state and an action of their hands."""
        felt = self.felt()
        if not felt.vectors:
            raise DataEngineError(
                f"{self.uri}: found no {NEEDED}; ingest them with the files of their hands in place, or leave "
                f"use_hands out"
            )
        for row, (state, action) in felt.vectors.items():
            if self._state[row] is None:
                self._state[row], self._action[row] = state, action
        return felt

    def _read(self, columns: Sequence[str]) -> pa.Table:
        """Read columns of the episodes that count, always in the order of their ids."""
        return self.corpus.kept(kept_only=self._kept_only).table(columns)

    def _read_latents(self, info: LatentInfo) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int16]]]:
        table = self._read([labels.latent_column(info.name), labels.codes_column(info.name)])
        slot = labels.label_slot(self.corpus.schema, info.name)
        flat_latents, flat_codes = (_rows(column, None) for column in table.columns)
        unlabelled = sum(
            codes is None and slot in e.cameras for codes, e in zip(flat_codes, self.episodes, strict=True)
        )
        if unlabelled:
            raise DataEngineError(
                f"{unlabelled} of {len(self.episodes)} kept episodes have no latent actions of '{info.name}'; "
                f"run `villa label` on {self.corpus.uri} again"
            )
        latents, codes = [], []
        for e, flat_latent, flat_code in zip(self.episodes, flat_latents, flat_codes, strict=True):
            if flat_latent is None or flat_code is None:
                latents.append(np.zeros((e.num_steps, info.k, info.d), np.float32))
                codes.append(np.full((e.num_steps, info.k), labels.NO_CODE, np.int16))
            else:
                shaped = labels.unflatten(info, flat_latent, flat_code)
                latent, code = _trim_latents(shaped, int(self._first[e.row]), e, info)
                latents.append(latent)
                codes.append(code)
        return latents, codes

    def _frame(self, row: int, frame: int) -> tuple[str, int]:
        """Say where a frame lies in the table; one beyond a trimmed episode's end is none of its frames."""
        episode = self.episodes[row]
        if not 0 <= frame < episode.num_steps:
            raise DataEngineError(f"episode {episode.episode_id} has {episode.num_steps} frames, no frame {frame}")
        return episode.episode_id, int(self._first[row]) + frame

    def _trimmed(self, rows: list[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
        """Leave out the steps that curation cut off."""
        return [
            None if values is None else values[self._first[e.row] : self._first[e.row] + e.num_steps]
            for e, values in zip(self.episodes, rows, strict=True)
        ]


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


def _rows(column: pa.ChunkedArray, dims: pa.ChunkedArray | None) -> list[NDArray[Any] | None]:
    """View each row of a list column as an array, (t, dim) where dims are given; None where there is nothing."""
    rows: list[NDArray[Any] | None] = []
    widths = dims.fill_null(0).to_pylist() if dims is not None else None
    for chunk in column.chunks:
        values, ends = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
        for i, valid in enumerate(chunk.is_valid().to_pylist()):
            width = widths[len(rows)] if widths is not None else None
            flat = values[ends[i] : ends[i + 1]]
            rows.append(None if not valid or width == 0 else flat if width is None else flat.reshape(-1, width))
    return rows


def _bytes_between(column: pa.ChunkedArray, first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """(e,) bytes of the frames from the first to before the end, by their offsets; 0 where there is no list."""
    sizes, row = [np.zeros(0, np.int64)], 0
    for chunk in column.chunks:
        values, starts = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()[:-1]
        valid = chunk.is_valid().to_numpy(zero_copy_only=False)
        rows = np.arange(row, row + len(chunk))[valid]
        size = np.zeros(len(chunk), np.int64)
        size[valid] = values[starts[valid] + end[rows]] - values[starts[valid] + first[rows]]
        sizes.append(size)
        row += len(chunk)
    return np.concatenate(sizes)
