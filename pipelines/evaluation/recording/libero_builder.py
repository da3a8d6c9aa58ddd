"""The TFDS builder of recorded LIBERO episodes; import this module only where tensorflow may be imported."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds  # noqa: TID253  (this file is imported inside functions only)

from pipelines.evaluation.recording.libero_episode import VERSION, load, steps_of

SIDE = 128


class LiberoObject(tfds.core.GeneratorBasedBuilder):
    """A scripted expert in LIBERO-Object, 20 Hz, in the schema of OpenVLA's modified_libero_rlds."""

    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Recorded by villa."}
    url_infos: ClassVar[dict[str, Any]] = {}
    """Keeps TFDS from looking for checksum files, for which it needs a package that it does not declare."""

    def __init__(self, *, files: Sequence[Path] = (), **kwargs: Any) -> None:
        self._files = files
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        """Say what an episode holds."""
        f = tfds.features
        scalars = {name: f.Scalar(dtype=np.float32) for name in ("reward", "discount")}
        flags = {name: f.Scalar(dtype=np.bool_) for name in ("is_first", "is_last", "is_terminal")}
        step = {
            "observation": {
                "image": f.Image(shape=(SIDE, SIDE, 3), encoding_format="jpeg", doc="Camera before the robot."),
                "wrist_image": f.Image(shape=(SIDE, SIDE, 3), encoding_format="jpeg", doc="Camera on the hand."),
                "state": f.Tensor(
                    shape=(8,), dtype=np.float32, doc="xyz in metres, axis times angle, two finger positions."
                ),
                "joint_state": f.Tensor(shape=(7,), dtype=np.float32, doc="Joint angles."),
            },
            "action": f.Tensor(
                shape=(7,), dtype=np.float32, doc="-1 to 1: xyz of 0.05 m, rotation of 0.5 rad; gripper, +1 closes."
            ),
            "language_instruction": f.Text(doc="What the robot was asked for."),
            **scalars,
            **flags,
        }
        return self.dataset_info_from_configs(
            features=f.FeaturesDict(
                {"steps": f.Dataset(step), "episode_metadata": f.FeaturesDict({"file_path": f.Text()})}
            )
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        """Put everything into one split; nothing is downloaded."""
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield one example per episode."""
        for file in self._files:
            yield file.stem, {"steps": steps_of(load(file)), "episode_metadata": {"file_path": file.stem}}
