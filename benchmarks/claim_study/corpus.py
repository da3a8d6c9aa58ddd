"""Makes the corpus of the study of the latent expert, labels it by latent action models, and writes shards.

    python benchmarks/claim_study/record.py --out runs/claim
    python benchmarks/claim_study/corpus.py --out runs/claim
    python benchmarks/claim_study/corpus.py --out runs/claim_small --small

Datasets: `demos`, two attempts of each of six tasks with actions; `clips`, eighty more of each as if nobody knew the
actions (same arm, camera and scene: the kindest action-free video there can be); `others`, thirty attempts with actions
of each of eight other tasks. Frames are halved to the 64 pixels that models of this size see.

Latent action model `near` learns from demos and clips, `wide` from all three; `moved` and `ground` too, from pictures
that are cropped and coloured anew in each clip, `ground` with eight times the weight on what robots felt and did.
`--small` takes what `record.py --small` recorded, and ends with `demos` and `clips`: `villa ablate` trains a latent
action model and labels by it. Kill it and run it again: what is done is kept.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import simplejpeg
from pictures import half
from record import CLIPS, DEMOS, OTHER_DEMOS, OTHERS, SMALL_CLIPS, SMALL_TASKS, TASKS

from dataengine.episode import CameraFrames, Episode
from dataengine.raw import fields_of
from dataengine.sources.openx.metaworld import Metaworld
from dataengine.store import Corpus
from dataengine.store.commit.add import add_episodes
from dataengine.texts import whole_episode
from pipelines.evaluation.recording import attempt

HERE = Path(__file__).parent
HZ = 20.0
JPEG_QUALITY = 85
WIDE = "{demos: 0.1, others: 0.5, clips: 0.4}"
LAMS = {
    "near": ("{demos: 0.5, clips: 0.5}", ("steps=700",)),
    "wide": (WIDE, ("steps=1400",)),
    "moved": (WIDE, ("steps=1400", "augment={crop_area: [0.6, 1.0], brightness: 0.1, contrast: 0.2}")),
    "ground": (
        "{demos: 0.1, others: 0.6, clips: 0.3}",
        ("steps=1200", "model.proprio_weight=32", "augment={crop_area: [0.7, 1.0], brightness: 0.1, contrast: 0.2}"),
    ),
}
"""Mixture and further settings of each latent action model."""


def frames(one: attempt.Demonstration) -> CameraFrames:
    """Halve the pictures of an attempt."""
    pictures = [half(simplejpeg.decode_jpeg(jpeg, colorspace="RGB")) for jpeg in one.images]
    side = len(pictures[0])
    jpegs = [simplejpeg.encode_jpeg(np.ascontiguousarray(p), quality=JPEG_QUALITY) for p in pictures]
    return CameraFrames(jpegs=jpegs, height=side, width=side, native_height=side, native_width=side)


def episode(one: attempt.Demonstration, dataset: str) -> Episode:
    """Make an attempt an episode; a clip knows neither state nor action."""
    t, is_clip = one.num_steps, dataset == "clips"
    steps = {
        "observation": {"hand_pos": one.raw_state[:, :3], "gripper_opening": one.raw_state[:, 3:4]},
        "action": {"world_vector": one.raw_action[:, :3], "gripper_closedness_action": one.raw_action[:, 3:4]},
    }
    motion = None if is_clip else Metaworld(Path()).convert(steps)
    return Episode(
        dataset=dataset,
        source_record=f"{one.task}/{one.seed:04d}",
        source_uri=f"metaworld/{one.task}/{one.seed:04d}",
        embodiment="human_hand" if is_clip else "sawyer",
        kind="human" if is_clip else "robot",
        control_hz=HZ,
        texts=whole_episode([one.instruction], t),
        time_ns=(np.arange(t) * 1e9 / HZ).astype(np.int64),
        cameras={"primary": frames(one)},
        state=motion and motion.state,
        action=motion and motion.action,
        **(fields_of("raw_state", motion.raw_state) if motion else {}),
        **(fields_of("raw_action", motion.raw_action) if motion else {}),
        state_encoding="eef_pose" if motion else "none",
        action_encoding="eef_delta" if motion else "none",
        licence="MIT",
    )


def attempts(out: Path, task: str) -> list[attempt.Demonstration]:
    """Read the attempts of a task in the order of their seeds."""
    return [one for file in sorted((out / "attempts").glob(f"{task}-*.npz")) for one in attempt.load(file)]


def parts(out: Path, *, small: bool) -> Iterator[tuple[str, str, Sequence[attempt.Demonstration]]]:
    """Say which attempts of a task go into which dataset."""
    for task in SMALL_TASKS if small else TASKS:
        recorded = attempts(out, task)
        yield "demos", task, recorded[:DEMOS]
        yield "clips", task, recorded[DEMOS : DEMOS + (SMALL_CLIPS if small else CLIPS)]
    for task in () if small else OTHERS:
        yield "others", task, attempts(out, task)[:OTHER_DEMOS]


def villa(*arguments: str) -> None:
    """Run a command on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "cli", *arguments], check=True, cwd=HERE.parents[1], env=environment)


def lam(out: Path, name: str) -> None:
    """Train a latent action model and write its labels."""
    weights, more = LAMS[name]
    weight = [] if any("proprio_weight" in one for one in more) else ["model.proprio_weight=4"]
    settings = [f"mixture.weights={weights}", "val_fraction=0.05", *weight, *more]
    options = [word for setting in settings for word in ("--set", setting)]
    if not (out / f"lam_{name}" / "report.json").exists():  # written at a training's end
        villa("train", "lam", str(out / "corpus"), "--out", str(out / f"lam_{name}"), *options)
    villa("label", str(out / "corpus"), "--lam", str(out / f"lam_{name}"), "--name", name)


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/claim"))
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    out = options.out.resolve()
    uri = str(out / "corpus")
    corpus = Corpus.open(uri) if (out / "corpus").exists() else Corpus.create(uri)
    for dataset, task, attempts_of_task in parts(out, small=options.small):
        add_episodes(corpus, (episode(one, dataset) for one in attempts_of_task), task)
    if count := corpus.rejects().num_rows:
        raise SystemExit(f"{count} episodes were rejected; `villa corpus rejects {uri}` says why")
    villa("stats", corpus.uri)
    if options.small:
        return
    for name in LAMS:
        lam(out, name)
    near = ("--lam", str(out / "lam_near"), "--name", "alone", "--set", "past_frames=false")
    villa("label", corpus.uri, *near)
    villa("shard", corpus.uri, "--out", str(out / "shards"))


if __name__ == "__main__":
    main()
