"""Writes RLDS the way publishers do: a real tfds builder. The only place of these tests that imports tensorflow."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar


def write(
    folder: Path,
    name: str,
    features: Any,
    episodes: dict[str, Sequence[dict]],
    *,
    version: str = "1.0.0",
    num_shards: int = 1,
) -> Path:
    """Run a tfds builder over `episodes` (split to records) and return `<folder>/<name>/<version>`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_datasets as tfds

    dataset_name = name

    class Writer(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        name = dataset_name
        VERSION = tfds.core.Version(version)
        pkg_dir_path = folder
        url_infos: ClassVar[dict[str, Any]] = {}  # nothing is downloaded, so tfds need not look beside this file

        def _info(self) -> Any:
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {split: self._generate_examples(split) for split in episodes}

        def _generate_examples(self, split: str) -> Any:
            for i, episode in enumerate(episodes[split]):
                yield f"{split}_{i:04d}", episode

    config = tfds.download.DownloadConfig(num_shards=num_shards, try_download_gcs=False)
    builder = Writer(data_dir=str(folder))
    builder.download_and_prepare(download_config=config)
    return Path(builder.data_dir)


def read(directory: Path, split: str) -> list[dict]:
    """Read a split with tfds itself: episodes as nested numpy, `steps` as a list of steps."""
    import tensorflow_datasets as tfds

    dataset = tfds.builder_from_directory(str(directory)).as_dataset(split=split)
    return [
        {key: list(value) if key == "steps" else value for key, value in episode.items()}
        for episode in tfds.as_numpy(dataset)
    ]
