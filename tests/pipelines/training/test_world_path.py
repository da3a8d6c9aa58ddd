"""From a labelled corpus to a world model: real tables, real models, tiny."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cli.app import app
from cli.contract import invoke
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from dataengine.windows.window import cut_window
from models.weights import load_lam, load_world, read_config
from pipelines import label, shard, stats
from pipelines.training.frames import Buffers, Frames
from pipelines.training.held_out import split
from pipelines.training.world import world as train_world
from pipelines.training.world.collator import WorldCollator
from pipelines.training.world.scores import shuffle
from tests.support import warm
from tests.support.corpora import add_parts, human_clip, make_corpus, robot_episode
from tests.support.figures import unexplained
from tests.support.lams import make_lam

ROOT = Path(__file__).parents[3]
SHAPE = {"resolution": 32, "patch_size": 8, "width": 32, "depth": 1, "heads": 2}
WORLD = {
    "steps": 6,
    "batch_size": 4,
    "log_every": 1,
    "val_windows": 40,
    "val_fraction": 0.3,
    "device": "cpu",
    "model": SHAPE,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with labels, and a world model trained on it from the command line."""
    root = tmp_path_factory.mktemp("world")
    corpus = make_corpus(root / "corpus", {"a": [robot_episode(f"r{i}", num_steps=20 + i) for i in range(12)]})
    # One embodiment's episodes are too short for six steps of 0.2 s.
    add_parts(
        corpus, {"b": [robot_episode(f"s{i}", dataset="brief", embodiment="arm6", num_steps=9) for i in range(12)]}
    )
    add_parts(corpus, {"c": [human_clip(f"h{i}", dataset="kitchen") for i in range(4)]})
    stats.run(stats.StatsConfig(corpus=str(root / "corpus")))
    reader = TableReader(Corpus.open(str(root / "corpus")))
    make_lam(root / "lam", reader.jpegs("primary", [(row, i) for row in range(20) for i in range(9)]))
    label.run(label.LabelConfig(corpus=str(root / "corpus"), lam=root / "lam", threads=1))
    argv = [str(root / "corpus"), "--lam", str(root / "lam"), "--out", str(root / "world"), "--steps", "6"]
    settings = [f"{key}={value}" for key, value in WORLD.items() if key not in ("steps", "model")]
    settings += [f"model.{key}={value}" for key, value in SHAPE.items()]
    assert invoke(app, ["train", "world", *argv, *(w for s in settings for w in ("--set", s))]) == 0
    return root


def losses(out: Path) -> list[tuple]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["grad_norm"]) for line in lines]


def test_every_figure_of_a_run_is_explained(made: Path) -> None:
    assert unexplained(made / "world") == set()


def test_a_report_tells_steps_and_painters_apart(made: Path) -> None:
    report = train_world.TrainWorldReport.model_validate_json((made / "world" / "report.json").read_text())
    assert report.finished
    assert report.eval_split == "held-out episodes"
    bodies = {body.embodiment: body for body in report.scores}
    assert len(bodies["arm"].starts) == 6
    assert len(bodies["arm6"].starts) < 6
    assert bodies["arm"].starts == sorted(bodies["arm"].starts, reverse=True)
    assert any(
        note.startswith("arm6: no evaluated episode is long enough") and "of 6 steps" in note for note in report.notes
    )
    arm = bodies["arm"]
    assert [p.predictor for p in arm.predictors] == ["copy", "level 0", "level 1", "level 1, shuffled", "true frames"]
    # The labels came from these very frames, so their inverse dynamics give them back.
    assert arm.of("true frames").codes == [1.0] * 6
    assert min(arm.of("true frames").cosine) > 0.999
    assert arm.of("true frames").psnr == []
    assert all(len(p.psnr) == len(p.ssim) == len(p.edges) == 6 for p in arm.predictors if p.predictor != "true frames")
    assert "level 1" in report.summary()


def test_a_copy_is_judged_as_numpy_judges_it(made: Path) -> None:
    corpus = Corpus.open(str(made / "corpus"))
    report = train_world.TrainWorldReport.model_validate_json((made / "world" / "report.json").read_text())
    reader = TableReader(corpus)
    config = train_world.TrainWorldConfig(data="x", out=made, **WORLD)
    _, held_out = split(reader, config.val_fraction)
    spec = train_world.window_spec(reader.latent_info("lam"), 8)
    frames = Frames(reader, ("primary",), 32)
    errors: list[float] = []
    for e in held_out:
        if e.embodiment == "arm6":
            clip = np.empty((e.num_steps, 32, 32, 3), np.uint8)
            frames.fetch("primary", [(e.row, i) for i in range(e.num_steps)], clip)
            for start in range(spec.num_windows(e)):
                now, after = start + 2, start + 4
                if after < e.num_steps:
                    errors.append(np.square((clip[now].astype(float) - clip[after]) / 255).mean())
    body = next(body for body in report.scores if body.embodiment == "arm6")
    assert body.starts[0] == len(errors) > 0
    assert body.of("copy").psnr[0] == pytest.approx(-10 * np.log10(np.mean(errors)), abs=1e-3)


def test_pictures_show_the_true_frames_and_both_levels(made: Path) -> None:
    with Image.open(made / "world" / "rollouts.png") as sheet:
        assert sheet.width > 7 * 96
        assert sheet.height > 3 * 96
        assert len(sheet.getcolors(1 << 24)) > 20


def test_a_checkpoint_remembers_whose_latents_it_was_trained_on(made: Path) -> None:
    config = read_config(made / "world")
    info = TableReader(Corpus.open(str(made / "corpus"))).latent_info("lam")
    assert config["latent"]["fingerprint"] == info.fingerprint
    assert config["statistics"].keys() == {"arm", "arm6"}
    world = load_world(made / "world")
    assert (world.config.num_slots, world.config.latent_dim) == (info.k, info.d)
    predicted = world.render(torch.zeros(1, 1, 3, 48, 48, dtype=torch.uint8), torch.zeros(1, 2, info.k, info.d))
    assert predicted.shape == (1, 2, 3, 32, 32)
    with pytest.raises(ValueError, match="holds a world model, expected a latent action model"):
        load_lam(made / "world")


def test_a_batch_joins_frames_and_the_latents_between_them(made: Path) -> None:
    reader = TableReader(Corpus.open(str(made / "corpus")))
    spec = train_world.window_spec(reader.latent_info("lam"), 4)
    collator = WorldCollator(frames=Frames(reader, ("primary",), 48), buffers=Buffers(2))
    row, other = (e.row for e in sorted(reader.episodes, key=lambda e: e.episode_id)[:2])
    end = reader.episodes[other].num_steps
    batch = collator.collate([cut_window(reader, spec, row, 3), cut_window(reader, spec, other, end - 4)])
    latent, codes = reader.latent(row, "lam")
    assert (codes[[3, 5, 7]] >= 0).all()
    np.testing.assert_array_equal(batch.latent[0], latent[[3, 5, 7]])
    assert batch.frame_mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert batch.latent_mask.tolist() == [[True] * 3, [True, False, False]]
    assert not batch.latent[1, 1:].any()
    shown = Frames(reader, ("primary",), 48)
    one = np.empty((1, 48, 48, 3), np.uint8)
    shown.fetch("primary", [(row, 7)], one)
    np.testing.assert_array_equal(batch.video[0, 2].permute(1, 2, 0), one[0])


def test_shuffling_changes_places_only_among_rollouts_that_go_on() -> None:
    latents = torch.arange(1, 9).float().view(4, 2, 1, 1).clone()
    counts = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 0]]).bool()
    others = shuffle(latents, counts)[..., 0, 0]
    assert others[:, 0].tolist() == [5, 7, 1, 3]
    assert others[:, 1].tolist() == [6, 4, 2, 8]


def test_level_0_trains_nothing_and_paints_what_the_lam_paints(made: Path, tmp_path: Path) -> None:
    config = train_world.TrainWorldConfig(
        data=str(made / "corpus"),
        out=tmp_path,
        lam=made / "lam",
        level=0,
        val_windows=40,
        val_fraction=0.3,
        device="cpu",
    )
    report = train_world.run(config)
    assert (report.steps, report.parameters, report.resolution) == (0, 0, 32)
    assert not (tmp_path / "model.safetensors").exists()
    assert "nothing to train" in report.summary()
    trained = train_world.TrainWorldReport.model_validate_json((made / "world" / "report.json").read_text())
    for body, beside in zip(report.scores, trained.scores, strict=True):
        assert body.of("level 0") == beside.of("level 0")


def test_a_model_trains_from_shards_as_from_the_corpus_and_without_the_lam(made: Path, tmp_path: Path) -> None:
    shard.run(shard.ShardConfig(corpus=str(made / "corpus"), out=str(tmp_path / "shards"), shard_mb=0.2, threads=2))
    report = train_world.run(train_world.TrainWorldConfig(data=str(tmp_path / "shards"), out=tmp_path / "out", **WORLD))
    assert losses(tmp_path / "out") == losses(made / "world")
    assert [p.predictor for p in report.scores[0].predictors] == ["copy", "level 1", "level 1, shuffled"]
    assert report.scores[0].predictors[1].codes == []
    assert any("level 0 and the cycle check were left out" in note for note in report.notes)


KILLED = """
import json, os, signal, sys
from pathlib import Path
from models.world import World
from pipelines.training.world import world as train_world
data, out, die_at, settings = sys.argv[1:]
begin = World.begin_step
def begin_step(self, step, num_steps):
    if step == int(die_at):
        os.kill(os.getpid(), signal.SIGKILL)
    begin(self, step, num_steps)
World.begin_step = begin_step
train_world.run(train_world.TrainWorldConfig(data=data, out=Path(out), **json.loads(settings)))
"""


def test_a_killed_training_continues_to_the_same_losses(made: Path, tmp_path: Path) -> None:
    settings = json.dumps(WORLD | {"checkpoint_every": 2, "val_windows": 2})
    killed = warm.Program(KILLED, made / "corpus", tmp_path, 5, settings).ended()
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [line[0] for line in losses(tmp_path)] == [1, 2, 3, 4, 5]
    again = warm.Program(KILLED, made / "corpus", tmp_path, -1, settings).ended()
    assert again.returncode == 0, again.stderr
    assert losses(tmp_path) == losses(made / "world")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--set", "level=0"], "level 0 evaluates the decoder of a latent action model: give it with --lam DIR"),
        (["--set", "latent=other"], "other"),
        (["--preset", "paper"], "paper"),
        (["--lam", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture, argv: list[str], said: str
) -> None:
    arguments = ["train", "world", str(made / "corpus"), "--out", str(tmp_path), "--device", "cpu", *argv, "--json"]
    assert invoke(app, arguments) == 2
    printed = capsys.readouterr()
    assert said in json.loads(printed.out)["error"]
    assert "Traceback" not in printed.err


def test_another_lam_than_the_one_that_labelled_is_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    reader = TableReader(Corpus.open(str(made / "corpus")))
    make_lam(tmp_path / "lam", reader.jpegs("primary", [(row, i) for row in range(20) for i in range(9)]), seed=1)
    arguments = ["train", "world", str(made / "corpus"), "--out", str(tmp_path / "out"), "--lam", str(tmp_path / "lam")]
    assert invoke(app, arguments) == 2
    assert "give the model that wrote them, or label again" in capsys.readouterr().err


BANNED = """
import sys
sys.modules.update(dict.fromkeys(["ray", "lance"]))  # None: importing them fails
import json
from pathlib import Path
from pipelines.training.world import world as train_world
data, lam, out, settings = sys.argv[1:]
train_world.run(train_world.TrainWorldConfig(data=data, lam=Path(lam), out=Path(out), **json.loads(settings)))
"""


def test_shards_and_a_lam_are_enough_without_ray_and_lance(made: Path, tmp_path: Path) -> None:
    shard.run(shard.ShardConfig(corpus=str(made / "corpus"), out=str(tmp_path / "shards")))
    argv = [str(tmp_path / "shards"), str(made / "lam"), str(tmp_path / "world"), json.dumps(WORLD)]
    done = subprocess.run([sys.executable, "-c", BANNED, *argv], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "world") == losses(made / "world")
