"""Writes attempts as RLDS, with TFDS itself: three datasets, in schemas such as Open X-Embodiment is made of.

`metaworld` has nested actions and the instruction below `observation`; `fetch_mujoco` has flat vectors, a wrist camera
and the instruction at step level; `robosuite_lift` is one schema for several arms, each a configuration of it. Images
are our own JPEG bytes, passed through TFDS unopened.

Call it in a process of its own: tensorflow and Mesa's drawing each bring an LLVM, and together they crash the process.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.evaluation.recording.attempt import Demonstration, load

VERSION = "1.0.0"


def write_metaworld(attempt_files: Sequence[Path], out: Path, num_shards: int) -> Path:
    """Write `metaworld/1.0.0` below `out` and return that folder."""
    return _write("Metaworld", attempt_files, out, num_shards)


def write_fetch(attempt_files: Sequence[Path], out: Path, num_shards: int) -> Path:
    """Write `fetch_mujoco/1.0.0` below `out` and return that folder."""
    return _write("FetchMujoco", attempt_files, out, num_shards)


def write_lift(arm: str, attempt_files: Sequence[Path], out: Path, num_shards: int) -> Path:
    """Write `robosuite_lift/<arm>/1.0.0` below `out` and return that folder."""
    return _write("RobosuiteLift", attempt_files, out, num_shards, config=arm)


def _write(builder_name: str, attempt_files: Sequence[Path], out: Path, num_shards: int, **options: str) -> Path:
    """Run download_and_prepare, which renames the finished folder into place."""
    if "pipelines.evaluation.simulators._camera" in sys.modules:
        raise RuntimeError(
            "this process has drawn simulations, so tensorflow would crash it; write RLDS in another one"
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_datasets as tfds

    from pipelines.evaluation.recording import rlds_builders

    tfds.disable_progress_bar()
    attempts: list[Demonstration] = [a for file in attempt_files for a in load(file)]
    builder = getattr(rlds_builders, builder_name)(attempts=attempts, data_dir=str(out), **options)
    folder = Path(builder.data_dir)
    for leftover in folder.parent.glob(f"{VERSION}.incomplete*"):  # of a run that was killed
        shutil.rmtree(leftover)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=num_shards))
    return folder
