"""A model without a proprio forward model gets one trained on top."""

from pathlib import Path

import pytest
import torch

from dataengine.errors import DataEngineError
from models.lam import Lam, LamConfig
from models.weights import load_lam, save_released_lam
from pipelines.stats import StatsConfig
from pipelines.stats import run as count
from pipelines.training.lam.lam import TrainLamConfig, run
from tests.support.corpora import human_clip, make_corpus, robot_episode

QUICK = {"steps": 4, "batch_size": 4, "log_every": 1, "val_windows": 8, "device": "cpu", "lr": 1e-3}
SMALL = {
    **{"resolution": 28, "num_frames": 3, "interval_s": 0.2, "encoder_depth": 1, "encoder_width": 48},
    **{"encoder_heads": 4, "map_heads": 4, "decoder_depth": 1, "decoder_width": 48, "decoder_heads": 4},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("begin")
    robots = [robot_episode(f"r{i}") for i in range(6)]
    make_corpus(root / "corpus", {"a": robots, "b": [human_clip("h")]})
    count(StatsConfig(corpus=str(root / "corpus")))
    torch.manual_seed(0)
    save_released_lam(Lam(LamConfig(**SMALL)), root / "released")
    return root


def begin(made: Path, name: str, **settings: object) -> Lam:
    report = run(
        TrainLamConfig(data=str(made / "corpus"), out=made / name, init_from=made / "released", **QUICK, **settings)
    )
    assert report.finished
    return load_lam(made / name)


def test_frozen_latents_stay_as_they_were_while_the_proprio_model_learns(made: Path) -> None:
    released, frozen = load_lam(made / "released"), begin(made, "frozen", freeze="latents")
    assert frozen.proprio is not None
    before, after = released.state_dict(), frozen.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    torch.manual_seed(1)
    fresh = Lam(frozen.config).proprio
    assert any(not torch.equal(a, b) for a, b in zip(fresh.parameters(), frozen.proprio.parameters(), strict=True))
    video = torch.randint(0, 256, (5, 3, 28, 28), dtype=torch.uint8)
    assert torch.equal(frozen.encode(video).tokens, released.encode(video).tokens)


def test_fine_tuned_latents_move_from_where_they_were(made: Path) -> None:
    released, tuned = load_lam(made / "released"), begin(made, "tuned")
    before, after = (m.encoder.embed.proj.weight for m in (released, tuned))
    assert 0 < (before - after).abs().max() < 0.05


def test_a_model_of_ours_keeps_its_proprio_model_and_every_buffer_of_a_frozen_codebook(made: Path) -> None:
    fields = {
        "data": str(made / "corpus"),
        **QUICK,
        "model": {**SMALL, "patch_size": 14, "normalize_latents": True, "revive_below": 0.5},
    }
    run(TrainLamConfig(out=made / "own", **fields))
    own = load_lam(made / "own")
    run(TrainLamConfig(data=str(made / "corpus"), out=made / "more", init_from=made / "own", freeze="latents", **QUICK))
    more = load_lam(made / "more").state_dict()
    assert all(torch.equal(v, more[n]) for n, v in own.state_dict().items() if not n.startswith("proprio."))
    assert any(not torch.equal(v, more[n]) for n, v in own.state_dict().items() if n.startswith("proprio."))


def test_what_cannot_be_is_refused_in_one_line(made: Path) -> None:
    fields = {"data": str(made / "corpus"), "out": made / "refused", **QUICK}
    with pytest.raises(ValueError, match="freeze=latents needs init_from=DIR"):
        TrainLamConfig(freeze="latents", **fields)
    with pytest.raises(DataEngineError, match=r"differs in decoder, encoder; leave out the settings `model\.\*`"):
        run(TrainLamConfig(init_from=made / "released", model={"patch_size": 7}, **fields))
