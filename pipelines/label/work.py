"""What one process does of a labelling run: a few episodes of one fragment, read, encoded, and handed back as rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataengine.machine import num_cores
from dataengine.store import Corpus
from dataengine.windows import labels
from pipelines.label.encode import Encoder, Wanted, pieces
from pipelines.label.precision import CodesCompared, Precision, set_precision

if TYPE_CHECKING:
    from models.lam import Lam

WORK_FRAMES = 4096
"""Frames that an actor of a cluster is given at once."""


@dataclass(frozen=True, kw_only=True)
class Unlabelled:
    """One episode to do."""

    rowid: int
    episode_id: str
    num_steps: int
    stride: int


@dataclass(frozen=True, kw_only=True)
class LabelledRow:
    """One episode done."""

    rowid: int
    num_steps: int
    latent: NDArray[np.float32]
    """(t, k, d)."""
    codes: NDArray[np.int16]
    """(t, k)."""
    unreadable: int
    """Frames that cannot have a latent action because a picture is broken."""
    compared: CodesCompared = field(default_factory=CodesCompared)
    """Codes that were computed in float32 too, since the row before."""


def label_episodes(encoder: Encoder, episodes: Sequence[Unlabelled]) -> Iterator[LabelledRow]:
    """Label episodes in order, batched across them; those to come are decoded meanwhile."""
    k, d = encoder.lam.config.num_slots, encoder.lam.config.latent_dim
    encoded = encoder.encode(piece for episode in episodes for piece in _pieces(episode))
    for episode in episodes:
        latent = np.zeros((episode.num_steps, k, d), dtype=np.float32)
        codes = np.full((episode.num_steps, k), labels.NO_CODE, dtype=np.int16)
        broken = 0
        for piece in _pieces(episode):
            encoding = next(encoded)
            latent[piece.rows], codes[piece.rows] = encoding.latent, encoding.codes
            broken += int(encoding.unreadable.sum())
        yield LabelledRow(
            rowid=episode.rowid,
            num_steps=episode.num_steps,
            latent=latent,
            codes=codes,
            unreadable=broken,
            compared=encoder.take_compared(),
        )


def _pieces(episode: Unlabelled) -> list[Wanted]:
    rows = np.arange(max(episode.num_steps - episode.stride, 0))
    return pieces(Wanted(episode_id=episode.episode_id, num_steps=episode.num_steps, stride=episode.stride, rows=rows))


@dataclass(frozen=True, kw_only=True)
class Work:
    """Some episodes of one fragment."""

    fragment_id: int
    part: int
    """From 0, in the fragment's order."""
    episodes: tuple[Unlabelled, ...]


def cut_work(fragments: Mapping[int, Sequence[Unlabelled]], num_frames: int) -> list[Work]:
    """Cut fragments up for many processes: neighbouring episodes, until they have enough frames."""
    work = []
    for fragment_id, episodes in fragments.items():
        begins = np.cumsum([0, *(e.num_steps for e in episodes)])[:-1] // num_frames
        for part, which in enumerate(np.unique(begins)):
            some = tuple(e for e, begin in zip(episodes, begins, strict=True) if begin == which)
            work.append(Work(fragment_id=fragment_id, part=part, episodes=some))
    return work


@dataclass(frozen=True, kw_only=True)
class Labeller:
    """A recipe that travels to another process and becomes a model there."""

    corpus: str
    lam: Path
    slot: str
    batch: int
    device: str | None
    threads: int
    past_frames: bool = True
    precision: Precision = "fp32"

    def make_encoder(self, lam: "Lam") -> Encoder:
        """Open the corpus, at one version, for this model."""
        return Encoder(
            Corpus.open(self.corpus),
            lam,
            slot=self.slot,
            batch=self.batch,
            threads=self.threads or num_cores(),
            past_frames=self.past_frames,
            precision=self.precision,
        )

    def load(self) -> "Lam":
        """Read the model onto the device, or the best there is; raise DataEngineError for a precision it lacks."""
        from models.weights import load_lam
        from pipelines.device import pick_device

        lam = load_lam(self.lam, pick_device(self.device))
        set_precision(lam, self.precision)
        return lam

    def __call__(self) -> "Worker":
        """Load model and corpus; called once in each actor."""
        return Worker(self.make_encoder(self.load()))


class Worker:
    """Labels one piece of work after another."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def __call__(self, work: Work) -> list[LabelledRow]:
        """Label a piece of work."""
        return list(label_episodes(self.encoder, work.episodes))
