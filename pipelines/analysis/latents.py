"""The latent actions of chosen pairs, from a column of the corpus or straight from a model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.windows import labels
from dataengine.windows.window import LatentInfo
from models.fingerprint import fingerprint
from pipelines.analysis.pairs import Floats, Picks
from pipelines.label.encode import Encoder, Wanted

if TYPE_CHECKING:
    from models.lam import Lam

CONFIG_NAME = "model_config.json"
ROWS_TOGETHER = 128
"""Episodes whose labels are read at once."""


@dataclass(frozen=True, kw_only=True)
class LatentSource:
    """One latent action model to probe; either `info` or `lam` is there."""

    title: str
    interval_s: float
    slot: str
    wish: str
    """What it was called on the command line."""
    fingerprint: str
    """Equal only for models that write equal labels."""
    directory: Path | None = None
    """Its files, where the wish was a directory."""
    info: LatentInfo | None = None
    """Labels in the corpus."""
    lam: "Lam | None" = None
    """The model itself, where the corpus has no labels of it."""


def find_models(corpus: Corpus, wishes: Sequence[str], slot: str, device: str = "cpu") -> list[LatentSource]:
    """Look up directories and label names; a directory whose labels are in the corpus is not run again."""
    models = [_find(corpus, wish, slot, device) for wish in wishes]
    if len({m.interval_s for m in models}) > 1:
        spacings = ", ".join(f"{m.title} {m.interval_s:g} s" for m in models)
        raise DataEngineError(f"models of different frame spacing do not compare ({spacings}); probe them one by one")
    if len({m.title for m in models}) < len(models):
        return [replace(m, title=wish) for m, wish in zip(models, wishes, strict=True)]
    return models


def _find(corpus: Corpus, wish: str, slot: str, device: str) -> LatentSource:
    names = labels.label_names(corpus.schema)
    directory = Path(wish)
    if not (directory / CONFIG_NAME).exists():
        if wish not in names:
            raise DataEngineError(
                f"'{wish}' is neither a directory with {CONFIG_NAME} nor labels of {corpus.uri}; "
                f"labels there: {', '.join(names) or 'none'}"
            )
        info = labels.label_info(corpus.schema, wish)
        return LatentSource(
            title=wish,
            wish=wish,
            interval_s=info.interval_s,
            slot=labels.label_slot(corpus.schema, wish),
            fingerprint=info.fingerprint,
            info=info,
        )
    from models.weights import load_lam, read_config

    read_config(directory)  # its words on a damaged file are better than those of the hash
    key = fingerprint(directory)
    model = partial(
        LatentSource, title=directory.resolve().name, wish=wish, slot=slot, fingerprint=key, directory=directory
    )
    for name in names:
        info = labels.label_info(corpus.schema, name)
        if info.fingerprint == key and info.past_frames and labels.label_slot(corpus.schema, name) == slot:
            return model(interval_s=info.interval_s, info=info)

    lam = load_lam(directory, device)
    return model(interval_s=lam.config.interval_s, lam=lam)


def read_latents(
    corpus: Corpus, source: LatentSource, picks: Picks, threads: int = 2
) -> tuple[Floats, NDArray[np.bool_]]:
    """Latent actions (n, k * d) of the pairs, and False where a broken picture left none."""
    if source.info is not None:
        return _labelled(corpus, source.info, picks)
    assert source.lam is not None
    wanted = [
        Wanted(episode_id=e.episode_id, num_steps=e.num_steps, stride=picks.stride, rows=rows)
        for e, rows in picks.by_episode()
    ]
    encoder = Encoder(corpus, source.lam, slot=source.slot, threads=threads)
    try:
        encoded = list(encoder.encode(wanted))
    finally:
        encoder.close()
    latent = np.concatenate([e.latent for e in encoded])
    return latent.reshape(len(latent), -1), ~np.concatenate([e.unreadable for e in encoded])


def _labelled(corpus: Corpus, info: LatentInfo, picks: Picks) -> tuple[Floats, NDArray[np.bool_]]:
    """Read labels of many episodes at a time."""
    codebook, names = labels.label_codebook(corpus.schema, info.name), labels.label_columns(corpus.schema, info.name)
    work, latents, readable = list(picks.by_episode()), [], []
    for start in range(0, len(work), ROWS_TOGETHER):
        some = work[start : start + ROWS_TOGETHER]
        ids = ", ".join(f"'{e.episode_id}'" for e, _ in some)
        table = corpus.table(["episode_id", *names], where=f"episode_id IN ({ids})")
        row_of = {episode_id: i for i, episode_id in enumerate(table["episode_id"].to_pylist())}
        for episode, rows in some:
            flat = [table[name][row_of[episode.episode_id]] for name in names]
            if not flat[0].is_valid:
                raise DataEngineError(
                    f"episode {episode.episode_id} has no labels of '{info.name}'; run `villa label` to its end first"
                )
            latent, codes = labels.unflatten(info, codebook, *(cell.values.to_numpy() for cell in flat))
            latents.append(latent[rows])
            readable.append(codes[rows, 0] != labels.NO_CODE)
    joined = np.concatenate(latents)
    return joined.reshape(len(joined), -1), np.concatenate(readable)
