"""Opens what a model is trained on, and says what a checkpoint must remember of it."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.shards.reader import COPIES_BYTES, ShardReader, is_shards
from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.mixture import Mixture
from dataengine.windows.normalize import Normalizer, pooled_over_datasets
from dataengine.windows.stats import EmbodimentStatistics
from dataengine.windows.window import EpisodeReader, LatentInfo
from pipelines.training.config import NormalizeBy

C = TypeVar("C", bound=Config)


def open_reader(uri: str, *, use_hands: bool = False, copies_gb: float | None = None) -> EpisodeReader:
    """Open a folder of shards, a corpus, or `CORPUS@SNAPSHOT`; shards do without lance.

    What lies in an object store is copied to this machine as it is wanted, at most `copies_gb` at a time. Without that
    setting shards are, and of a corpus each frame is read from the store.
    """
    if is_shards(uri):
        return ShardReader(uri, use_hands=use_hands, copies_bytes=copies_gb * 1e9 if copies_gb else COPIES_BYTES)
    from dataengine.store import Corpus
    from dataengine.store.read.reader import TableReader

    return TableReader(Corpus.open(uri), use_hands=use_hands, copies_bytes=(copies_gb or 0) * 1e9)


def with_mixture(config: C, reader: EpisodeReader) -> C:
    """Draw by the mixture that was pinned with a snapshot, unless the settings name another."""
    pinned = reader.identity.mixture
    if pinned is None or "mixture" in config.model_fields_set:
        return config
    return config.model_copy(update={"mixture": Mixture(**pinned)})


def pick_latent(reader: EpisodeReader, name: str | None) -> LatentInfo:
    """Find the latent actions to train on: those named, or the only ones there are."""
    if name is None:
        if len(reader.latents) != 1:
            known = ", ".join(reader.latents) or "none"
            advice = "say which with --set latent=NAME" if reader.latents else "run `villa label` first"
            if not reader.latents and is_shards(reader.uri):
                advice += f" on {reader.identity.uri}, then `villa shard` into another folder"
            raise DataEngineError(f"{reader.uri}: found latent actions {known}, expected one; {advice}")
        name = reader.latents[0]
    return reader.latent_info(name)


def check_latent_shape(changes: Mapping[str, Any], shape: Mapping[str, int], latent: LatentInfo) -> None:
    """Refuse settings of a model that the latent actions contradict."""
    for key, there in shape.items():
        if changes.get(key, there) != there:
            raise DataEngineError(
                f"model.{key} is {changes[key]}, the latent actions '{latent.name}' have {there}; leave it out, or "
                f"label with another model"
            )


def latent_rms(reader: EpisodeReader, name: str, episodes: Sequence[EpisodeInfo], most: int = 512) -> float:
    """Root mean square of latent actions, over a stable choice of episodes."""
    total, count = 0.0, 0
    some = EpisodeTable.of(episodes).first_ids(most)
    reader.fetch(some.rows.tolist(), name)
    for row in some.rows.tolist():
        latent, codes = reader.latent(row, name)
        valid = latent[codes[:, 0] >= 0].astype(np.float64)
        total, count = total + float(np.square(valid).sum()), count + valid.size
    return (total / count) ** 0.5 if count else 1.0


def normalizer(reader: EpisodeReader, by: NormalizeBy) -> Normalizer:
    """Normalise by each embodiment's datasets, or by each embodiment as a whole, as all did before."""
    statistics = reader.statistics()
    if by == "embodiment":
        return Normalizer(pooled_over_datasets(statistics))
    whole = [name for name, one in statistics.items() if not one.by_dataset]
    if whole:
        print(  # noqa: T201
            f"{reader.uri}: statistics of {', '.join(whole)} are of all datasets together; `villa shard` "
            f"again writes them by dataset too",
            file=sys.stderr,
        )
    return Normalizer(statistics)


def origin(reader: EpisodeReader, statistics: Mapping[str, EmbodimentStatistics] | None = None) -> dict[str, Any]:
    """Say what a model was trained on, for its checkpoints: data, the statistics that normalised it, code."""
    return {
        "data": {**asdict(reader.identity), "frame_side": reader.frame_side},
        "statistics": {name: one.to_json() for name, one in (statistics or reader.statistics()).items()},
        "git_revision": git_revision(),
    }


def git_revision() -> str:
    """Give the revision of this code, marked when files differ from it; `unknown` for an installed copy."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
