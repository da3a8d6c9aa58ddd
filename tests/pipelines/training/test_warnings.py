"""What a training says of its data before it starts."""

import numpy as np
import pytest

from dataengine.episode import Text
from dataengine.errors import DataEngineError
from dataengine.windows.normalize import Normalizer
from pipelines.training import data
from pipelines.training.act.bodies import bodies
from pipelines.training.act.config import TrainActConfig
from pipelines.training.act.warnings import find_warnings
from tests.support.collators import CHUNKS
from tests.support.readers import MadeReader, make_episode, statistics


def made() -> MadeReader:
    return MadeReader([make_episode(row) for row in range(3)])


def config(**changes: object) -> TrainActConfig:
    return TrainActConfig(data="d", out="o", **changes)


@pytest.mark.parametrize(("moves", "said"), [((0, 1), 0), ((), 0), (None, 1)])
def test_an_action_of_unknown_meaning_is_told_where_standing_still_must_be_known(
    moves: tuple | None, said: int
) -> None:
    """Beyond an episode's end a policy learns to stand still, unless it is told otherwise."""
    reader = made()
    norm = Normalizer(statistics(reader, moves))
    warnings = list(find_warnings(config(), reader, norm, None, reader.episodes, 1.0))
    assert len(warnings) == said
    assert not said or "arm7_jaw in pantry" in warnings[0]
    assert not list(find_warnings(config(padded_actions="repeat"), reader, norm, None, reader.episodes, 1.0))


def test_steps_at_which_nothing_is_said_are_told_by_dataset() -> None:
    pick, put = Text(5, 10, ("pick",)), Text(8, 20, ("place",))
    episodes = [
        make_episode(0, num_steps=20, texts=(put, pick)),
        make_episode(1, num_steps=20, texts=()),
        make_episode(2, num_steps=30, dataset="larder", dataset_id=2),
    ]
    reader = MadeReader(episodes)
    settings = config(padded_actions="skip")
    (warning,) = find_warnings(settings, reader, Normalizer(statistics(reader)), None, reader.episodes, 1.0)
    assert warning.startswith("steps without an instruction: pantry 62%; windows there train without words")


@pytest.mark.parametrize(
    ("size", "scaled", "said"), [(1.0, False, 0), (0.05, False, 1), (0.05, True, 0), (9.0, False, 1)]
)
def test_latents_of_another_size_than_the_noise_are_told(size: float, scaled: bool, said: int) -> None:
    class Sized(MadeReader):
        def latent(self, row: int, lam: str) -> tuple[np.ndarray, np.ndarray]:
            latent, codes = super().latent(row, lam)
            return size * latent, codes

    reader = Sized(made().episodes)
    norm, latent = Normalizer(statistics(reader)), reader.latent_info("lam")
    settings = config(padded_actions="skip")
    warnings = list(find_warnings(settings, reader, norm, latent, reader.episodes, 2.0 if scaled else 1.0))
    assert len(warnings) == said
    assert not said or "scale_latents=true divides by it" in warnings[0]


def test_statistics_of_older_shards_are_of_the_body_as_a_whole_and_that_is_told(capsys: pytest.CaptureFixture) -> None:
    reader = made()
    norm = data.normalizer(reader, "dataset")
    assert "statistics of arm7_jaw are of all datasets together; `villa shard` again" in capsys.readouterr().err
    np.testing.assert_array_equal(
        norm.normalize("arm7_jaw", "action", reader.action(0), "pantry"),
        Normalizer(statistics(reader)).normalize("arm7_jaw", "action", reader.action(0)),
    )
    data.normalizer(reader, "embodiment")
    assert not capsys.readouterr().err


def test_a_policy_knows_each_dataset_of_a_body_with_its_rate() -> None:
    larder = {"dataset": "larder", "dataset_id": 2}
    episodes = [make_episode(0, 30), make_episode(1, 20, **larder), make_episode(2, 25, control_hz=20.0, **larder)]
    body = bodies(episodes, CHUNKS)["arm7_jaw"]
    assert (body["dataset"], body["dataset_id"], body["control_hz"]) == ("larder", 2, 20.0)
    pantry = {"dataset_id": 1, "control_hz": 10.0, "steps_per_latent": 3, "steps": 30, "cameras": ["primary"]}
    assert body["datasets"]["pantry"] == pantry
    assert body["datasets"]["larder"]["steps"] == 45


def test_a_models_setting_that_the_labels_contradict_is_one_line() -> None:
    latent = made().latent_info("lam")
    with pytest.raises(DataEngineError, match=r"model\.latent_dim is 8, the latent actions 'lam' have 4; leave it out"):
        data.check_latent_shape({"latent_dim": 8}, {"latent_dim": latent.d}, latent)
    data.check_latent_shape({"latent_dim": 4, "horizon": 3}, {"latent_dim": latent.d}, latent)
