"""A policy sees what it was trained on: tensor for tensor, whatever the embodiment."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from numpy.typing import NDArray

from dataengine.errors import DataEngineError
from dataengine.formats.resize import at_rest, resize
from dataengine.framing import Framing
from dataengine.windows.normalize import Normalizer
from dataengine.windows.window import WindowSpec, cut_window
from models.act import Act
from models.act.sampler import Sampler
from models.batch import Observation
from pipelines.evaluation.policy import ActPolicy
from pipelines.training.act.bodies import bodies
from pipelines.training.collators import ActCollator
from pipelines.training.frames import Buffers, Frames
from pipelines.training.observation import vector_transforms
from pipelines.training.tokenizer import Tokenizer
from tests.support.readers import MadeReader, make_episode, statistics
from tests.support.shapes import act_shape

SIDE = 64
SPEC = WindowSpec(interval_s=0.3, horizon=6, optional_slots=("wrist",))
EPISODES = [
    make_episode(0),
    make_episode(1, control_hz=20.0, embodiment="arm6", embodiment_id=2, dataset="shelf", dataset_id=2),
    make_episode(2, embodiment="arm5", embodiment_id=3, dataset="shelf", dataset_id=2, cameras=("primary", "wrist")),
]


@dataclass(frozen=True)
class Seen:
    image: NDArray[np.uint8]
    wrist: NDArray[np.uint8] | None
    state: NDArray[np.float32]
    embodiment: str


@pytest.fixture(scope="module")
def reader() -> MadeReader:
    return MadeReader(EPISODES, size=48)


@pytest.fixture(scope="module")
def policy(reader: MadeReader) -> ActPolicy:
    torch.manual_seed(0)
    shape = act_shape(
        "tiny",
        state_dims=[9] * 4,
        action_dims=[8] * 4,
        num_datasets=3,
        horizon=6,
        use_latent=False,
        wrist={"widths": [8, 8, 8, 8], "image_size": SIDE, "num_heads": 1, "head_dim": 8},
    )
    tokenizer = Tokenizer.train(["close the jar"], 300)
    model = Act(shape).eval()
    return ActPolicy(model, Normalizer(statistics(reader)), tokenizer, bodies(reader.episodes, SPEC), "cpu")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Observation]]:
    """What the policy's sampler is given."""
    observations: list[Observation] = []
    sample = Sampler.sample

    def watched(sampler: Sampler, seen: Observation, *others: Any) -> object:
        observations.append(seen)
        return sample(sampler, seen, *others)

    monkeypatch.setattr(Sampler, "sample", watched)
    yield observations


def taught(policy: ActPolicy, reader: MadeReader, row: int, start: int) -> Observation:
    config = policy.model.config
    collator = ActCollator(
        frames=Frames(reader, ("primary", "wrist"), SIDE),
        buffers=Buffers(2),
        normalizer=policy.normalizer,
        tokenizer=policy.tokenizer,
        text_length=config.vlm.text_length,
        state_dim=max(config.state_dims),
        action_dim=max(config.action_dims),
        horizon=config.horizon,
        latent_shape=(0, 1, 1),
        use_wrist=True,
        padded_actions="rest",
    )
    return collator.collate([cut_window(reader, SPEC, row, start)])


@pytest.mark.parametrize("row", range(len(EPISODES)))
def test_a_policy_sees_what_training_showed(
    policy: ActPolicy, reader: MadeReader, shown: list[Observation], row: int
) -> None:
    start, info = 4, EPISODES[row]
    pictures = {
        slot: simplejpeg.decode_jpeg(reader.jpegs(slot, [(row, start)])[0], colorspace="RGB") for slot in info.cameras
    }
    state = reader.state(row)
    assert state is not None
    seen = Seen(pictures["primary"], pictures.get("wrist"), state[start], info.embodiment)
    policy.act_batch([seen], ["close the jar"])
    batch = taught(policy, reader, row, start)
    for field in fields(Observation):
        ours, theirs = getattr(shown[0], field.name), getattr(batch, field.name)
        if ours is None:  # further cameras, of which this policy has none
            assert theirs is None, field.name
            continue
        assert ours.dtype == theirs.dtype, field.name
        assert torch.equal(ours, theirs.expand_as(ours)), field.name


@pytest.mark.parametrize("framing", [Framing(48, "pad"), Framing(48, "crop"), Framing(48)])
def test_a_camera_that_is_not_square_comes_to_rest_as_in_the_data(
    policy: ActPolicy, shown: list[Observation], framing: Framing
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
    info = EPISODES[0]
    seen = Seen(picture, None, np.zeros(7, np.float32), info.embodiment)
    replace(policy, framings={info.dataset: framing, "other": Framing()}).act_batch([seen], ["close the jar"])
    expected = resize(at_rest(picture, framing), SIDE, SIDE)
    assert np.array_equal(shown[0].image[0].permute(1, 2, 0).numpy(), expected)


def test_what_training_normalises_the_policy_gives_back(policy: ActPolicy, reader: MadeReader) -> None:
    for row, info in enumerate(EPISODES):
        action = reader.action(row)
        assert action is not None
        path = vector_transforms(policy.normalizer, "action", 8)
        body = info.embodiment, info.dataset
        there = path.apply(action, body)
        assert there.shape == (30, 8)
        inside = np.abs(there[:, :7]) < 1  # beyond the quantiles values are clipped
        np.testing.assert_allclose(path.invert(there, body)[inside], action[inside], atol=1e-6)


def test_a_vector_wider_than_the_model_is_refused(policy: ActPolicy) -> None:
    path = vector_transforms(policy.normalizer, "state", 6)
    with pytest.raises(DataEngineError, match="state of embodiment 'arm6' has 7 values, the model takes 6 at most"):
        path.apply(np.zeros((1, 7), np.float32), ("arm6", "shelf"))
