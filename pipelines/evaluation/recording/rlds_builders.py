"""The TFDS builders behind `rlds`; import this module only where tensorflow may be imported."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds  # noqa: TID253  (this file is imported inside functions only)

from pipelines.evaluation.recording.attempt import Demonstration

IMAGE = (128, 128, 3)
NO_DOWNLOADS: dict[str, Any] = {}
"""Keeps TFDS from looking for checksum files, for which it needs a package that it does not declare."""


class Metaworld(tfds.core.GeneratorBasedBuilder):
    """Scripted Meta-World experts, Sawyer arm, 20 Hz, simulated in MuJoCo. Actions are the expert's clean ones."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Recorded by villa."}
    url_infos: ClassVar[dict[str, Any]] = NO_DOWNLOADS

    def __init__(self, *, attempts: Sequence[Demonstration] = (), **kwargs: Any) -> None:
        self._attempts = attempts
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        """Say what an episode holds."""
        f = tfds.features
        step = {
            "observation": {
                "image": f.Image(shape=IMAGE, encoding_format="jpeg", doc="Close-up camera."),
                "hand_pos": f.Tensor(shape=(3,), dtype=np.float32, doc="Gripper position in metres."),
                "gripper_opening": f.Tensor(shape=(1,), dtype=np.float32, doc="0 closed to 1 open."),
                "natural_language_instruction": f.Text(doc="What the robot was asked for."),
            },
            "action": {
                "world_vector": f.Tensor(shape=(3,), dtype=np.float32, doc="-1 to 1 of 0.04 m in a step."),
                "gripper_closedness_action": f.Tensor(shape=(1,), dtype=np.float32, doc="-1 opens, +1 closes."),
            },
            **_flags(f),
        }
        metadata = {"task": f.Text(), "seed": np.int64, "success": np.bool_}
        return self.dataset_info_from_configs(
            features=f.FeaturesDict({"steps": f.Dataset(step), "episode_metadata": f.FeaturesDict(metadata)})
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        """Put everything into one split; nothing is downloaded."""
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield one example per episode."""
        for a in self._attempts:
            steps = [
                {
                    "observation": {
                        "image": a.images[i],
                        "hand_pos": a.raw_state[i, :3],
                        "gripper_opening": a.raw_state[i, 3:4],
                        "natural_language_instruction": a.instruction,
                    },
                    "action": {
                        "world_vector": a.raw_action[i, :3],
                        "gripper_closedness_action": a.raw_action[i, 3:4],
                    },
                    **_flag_values(i, a.num_steps),
                }
                for i in range(a.num_steps)
            ]
            metadata = {"task": a.task, "seed": a.seed, "success": True}
            yield f"{a.task}/{a.seed}", {"steps": steps, "episode_metadata": metadata}


class FetchMujoco(tfds.core.GeneratorBasedBuilder):
    """Scripted Fetch experts, 25 Hz, simulated in MuJoCo. Actions are the expert's clean ones."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Recorded by villa."}
    url_infos: ClassVar[dict[str, Any]] = NO_DOWNLOADS

    def __init__(self, *, attempts: Sequence[Demonstration] = (), **kwargs: Any) -> None:
        self._attempts = attempts
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        """Say what an episode holds."""
        f = tfds.features
        step = {
            "observation": {
                "image": f.Image(shape=IMAGE, encoding_format="jpeg", doc="Close-up camera."),
                "wrist_image": f.Image(shape=IMAGE, encoding_format="jpeg", doc="Camera before the gripper."),
                "state": f.Tensor(
                    shape=(8,),
                    dtype=np.float32,
                    doc="Grip xyz in metres, two finger positions of 0 to 0.05 m, grip velocity in metres a step.",
                ),
            },
            "action": f.Tensor(
                shape=(4,), dtype=np.float32, doc="xyz, -1 to 1 of 0.05 m in a step; gripper, -1 closes, +1 opens."
            ),
            "language_instruction": f.Text(doc="What the robot was asked for."),
            **_flags(f),
        }
        metadata = {"task": f.Text(), "seed": np.int64, "success": np.bool_, "file_path": f.Text()}
        return self.dataset_info_from_configs(
            features=f.FeaturesDict({"steps": f.Dataset(step), "episode_metadata": f.FeaturesDict(metadata)})
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        """Put everything into one split; nothing is downloaded."""
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield one example per episode."""
        for a in self._attempts:
            steps = [
                {
                    "observation": {
                        "image": a.images[i],
                        "wrist_image": a.wrists[i],
                        "state": a.raw_state[i],
                    },
                    "action": a.raw_action[i],
                    "language_instruction": a.instruction,
                    **_flag_values(i, a.num_steps),
                }
                for i in range(a.num_steps)
            ]
            name = f"{a.task}/{a.seed}"
            metadata = {"task": a.task, "seed": a.seed, "success": True, "file_path": name}
            yield name, {"steps": steps, "episode_metadata": metadata}


class RobosuiteLift(tfds.core.GeneratorBasedBuilder):
    """Scripted arms that lift a cube in robosuite, simulated in MuJoCo. Actions are the expert's clean ones."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Recorded by villa."}
    BUILDER_CONFIGS: ClassVar[list[Any]] = [
        tfds.core.BuilderConfig(name="panda", description="Franka Panda, 20 Hz."),
        tfds.core.BuilderConfig(name="ur5e", description="UR5e, 10 Hz."),
        tfds.core.BuilderConfig(name="kinova3", description="Kinova Gen3, 15 Hz."),
    ]
    url_infos: ClassVar[dict[str, Any]] = NO_DOWNLOADS

    def __init__(self, *, attempts: Sequence[Demonstration] = (), **kwargs: Any) -> None:
        self._attempts = attempts
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        """Say what an episode holds."""
        f = tfds.features
        step = {
            "observation": {
                "image": f.Image(shape=IMAGE, encoding_format="jpeg", doc="Camera across the table."),
                "eef_pos": f.Tensor(shape=(3,), dtype=np.float32, doc="Grip position in metres."),
                "eef_quat": f.Tensor(shape=(4,), dtype=np.float32, doc="Grip orientation, xyzw."),
                "gripper_opening": f.Tensor(shape=(1,), dtype=np.float32, doc="0 closed to 1 open."),
            },
            "action": f.Tensor(
                shape=(7,),
                dtype=np.float32,
                doc="-1 to 1: xyz of 0.05 m, rotation vector of 0.5 rad in a step; gripper, -1 opens, +1 closes.",
            ),
            "language_instruction": f.Text(doc="What the robot was asked for."),
            **_flags(f),
        }
        metadata = {"task": f.Text(), "seed": np.int64, "success": np.bool_}
        return self.dataset_info_from_configs(
            features=f.FeaturesDict({"steps": f.Dataset(step), "episode_metadata": f.FeaturesDict(metadata)})
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        """Put everything into one split; nothing is downloaded."""
        return {"train": self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield one example per episode."""
        for a in self._attempts:
            steps = [
                {
                    "observation": {
                        "image": a.images[i],
                        "eef_pos": a.raw_state[i, :3],
                        "eef_quat": a.raw_state[i, 3:7],
                        "gripper_opening": a.raw_state[i, 7:8],
                    },
                    "action": a.raw_action[i],
                    "language_instruction": a.instruction,
                    **_flag_values(i, a.num_steps),
                }
                for i in range(a.num_steps)
            ]
            metadata = {"task": a.task, "seed": a.seed, "success": True}
            yield f"{a.task}/{a.seed}", {"steps": steps, "episode_metadata": metadata}


def _flags(f: Any) -> dict[str, Any]:
    """Declare what every RLDS step carries."""
    scalars = {"reward": np.float32, "discount": np.float32}
    flags = {"is_first": np.bool_, "is_last": np.bool_, "is_terminal": np.bool_}
    return {name: f.Scalar(dtype=dtype) for name, dtype in (scalars | flags).items()}


def _flag_values(i: int, num_steps: int) -> dict[str, Any]:
    """Fill them for step i: success is rewarded at the end."""
    is_last = i == num_steps - 1
    return {
        "reward": float(is_last),
        "discount": 1.0,
        "is_first": i == 0,
        "is_last": is_last,
        "is_terminal": is_last,
    }
