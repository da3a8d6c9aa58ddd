"""Labelling a corpus against the bare batched forward pass, and against one window at a time, with the same weights.

`labelling` is all of `villa label`: model and JPEGs read, pictures decoded and scaled, windows encoded, columns
committed, code use counted. `bare` gives the same windows in the same batches to `Lam.encode`, from pixels in memory.
`one by one` is the loop of the released inference code, a window a call, from pixels in memory as well. `embedded` is
what labelling does of the forward pass: every frame is embedded once, not once for each window that it is in. They take
turns; counted is CPU time of all threads (on a GPU: wall time), of which the medians are compared.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from claims import Claim, say
from loader_data import EPISODES, HZ, STEPS, episode, pictures
from matplotlib import cbook
from PIL import Image

from dataengine.store import Corpus
from dataengine.store.commit.add import add_episodes
from dataengine.windows.window import steps_per_latent
from models.lam import Lam, LamConfig
from models.weights import load_lam, save_model
from pipelines.label import LabelConfig, run
from pipelines.label.encode import FRAMES_AT_ONCE, Wanted, cut_windows, windows_at_once
from pipelines.training import presets
from pipelines.training.frames import decode_into

NUM_FRAMES = 8
"""The window that the LAM was published with."""


def make(folder: Path, preset: str, num_episodes: int) -> list[list[bytes]]:
    """Write a corpus and an untrained model; give the pictures back."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        photograph = np.asarray(Image.open(file).convert("RGB")).astype(np.float32)
    jpegs = [pictures(number, photograph) for number in range(num_episodes)]
    corpus = Corpus.create(str(folder / "corpus"))
    add_episodes(corpus, [episode(number, some) for number, some in enumerate(jpegs)])
    torch.manual_seed(0)
    save_model(
        Lam(presets.shape(LamConfig, "train_lam", preset, num_frames=NUM_FRAMES, interval_s=0.4, use_proprio=False)),
        folder / "lam",
    )
    return jpegs


def windows_of(lam: Lam, jpegs: list[list[bytes]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Give all pictures (f, 3, side, side) and the windows (w, t) that labelling reads of them."""
    side, stride = lam.config.resolution, steps_per_latent(HZ, lam.config.interval_s)
    video = np.zeros((len(jpegs) * STEPS, side, side, 3), np.uint8)
    for target, jpeg in zip(video, (jpeg for some in jpegs for jpeg in some), strict=True):
        decode_into(jpeg, target)
    wanted = Wanted(episode_id="", num_steps=STEPS, stride=stride, rows=np.arange(STEPS - stride))
    frames = cut_windows(wanted, NUM_FRAMES).frames
    index = np.concatenate([frames + STEPS * number for number in range(len(jpegs))])
    return torch.from_numpy(video).permute(0, 3, 1, 2), torch.from_numpy(index)


def seconds(work: Callable[[], object], device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--episodes", type=int, default=EPISODES)
    parser.add_argument("--batch", type=int, default=LabelConfig.model_fields["batch"].default)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        jpegs = make(root, options.preset, options.episodes)
        lam = load_lam(root / "lam", options.device)
        video, index = windows_of(lam, jpegs)
        video, index = video.to(options.device), index.to(options.device)
        names = iter(range(options.repeats))
        batch = windows_at_once(lam, options.batch)

        def labelling() -> None:
            config = {"corpus": str(root / "corpus"), "lam": root / "lam", "name": f"run_{next(names)}"}
            run(LabelConfig(**config, device=options.device, batch=options.batch))

        def bare() -> None:
            for some in index.split(batch):
                lam.encode(video[some]).codes.cpu()

        def embedded() -> None:
            frames = torch.cat([lam.embed(some) for some in video.split(FRAMES_AT_ONCE)])
            for some in index.split(batch):
                lam.encode_embedded(frames[some]).codes.cpu()

        def one_by_one() -> None:
            for window in index:
                lam.encode(video[window]).codes.cpu()

        contenders = {"bare": bare, "labelling": labelling, "one by one": one_by_one, "embedded": embedded}
        lam.encode(video[index[:batch]])
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.repeats):
            for name, work in contenders.items():
                times[name].append(seconds(work, options.device))
    num_latents = options.episodes * (STEPS - steps_per_latent(HZ, lam.config.interval_s))
    for name, runs in times.items():
        ms = [1000 * one / num_latents for one in sorted(runs)]
        print(f"{name:10} {statistics.median(ms):.2f} ms per latent action [{ms[0]:.2f} to {ms[-1]:.2f}]")
    print(f"{num_latents} latent actions in {len(index)} windows, preset {options.preset}, batches of {batch}")
    cost = {name: statistics.median(runs) for name, runs in times.items()}
    unit = "CPU time" if options.device == "cpu" else "time"
    loop_goal = 1.0 if options.device == "cpu" else 8.0
    loop = Claim("label_vs_one_by_one", cost["one by one"] / cost["labelling"], loop_goal, "a window at a time", unit)
    say([Claim("label_of_forward", cost["bare"] / cost["labelling"], 0.85, "bare batched forward", unit), loop])


if __name__ == "__main__":
    main()
