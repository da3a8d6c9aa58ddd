"""`villa transfer`: a robot repeats what a video shows (villa-X, arXiv:2507.23682, appendix D.2).

The inverse dynamics of a latent action model read latent actions from a robot's or a person's video; its proprio
forward model turns them into states and actions of the target, given the target's state and context. They are executed
in open loop, from states that were themselves predicted, and in closed loop, from those that the robot came to.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dataengine import progress
from dataengine.formats.resize import resize
from dataengine.whole_file import whole_file
from pipelines.evaluation.simulators._base import Simulator, check_task, default_tasks
from pipelines.evaluation.simulators._process import SimulatorProcess
from pipelines.evaluation.transfer.agreement import agreement, cosines
from pipelines.evaluation.transfer.clips import Clip, hands_of, motion_of, read_clips
from pipelines.evaluation.transfer.config import TransferConfig
from pipelines.evaluation.transfer.film import draw_paths, write_film
from pipelines.evaluation.transfer.made_of import digests_of, first_seed
from pipelines.evaluation.transfer.page import write_page
from pipelines.evaluation.transfer.play import Execution, execute
from pipelines.evaluation.transfer.report import MeasuredClip, TransferredClip, TransferReport
from pipelines.evaluation.transfer.target import Target, find_simulator, make_target
from pipelines.output.folder import OutputFolder, claimed, sources_at
from pipelines.output.kept import KeptPieces

if TYPE_CHECKING:
    from models.lam import Lam

MODES = ("predicted", "open loop", "closed loop")
EXECUTED = MODES[1:]


def run(config: TransferConfig) -> TransferReport:
    """Read the videos, execute them, and write trajectories, plots, videos and the report."""
    from models.weights import load_lam, read_config
    from pipelines.device import pick_device

    simulator, lam = find_simulator(config), load_lam(config.lam, pick_device(config.device))
    target = make_target(config, simulator, lam, read_config(config.lam))
    if config.task:
        check_task(simulator, config.task)
    clips, rejected = read_clips(config, lam)
    with claimed(config.out, "transfer", sources=sources_at(config.videos[0])) as out:
        out.claim("transfer.json", "index.html")
        report = _run(config, simulator, target, clips, out)
        report = report.model_copy(
            update={"rejected": rejected, "named_rejected": [name for name in rejected if name in config.videos]}
        )
        write_page(out, report)
        out.write("transfer.json", report.model_dump_json(indent=1))
    return report


def _run(
    config: TransferConfig, simulator: type[Simulator], target: Target, clips: Sequence[Clip], out: OutputFolder
) -> TransferReport:
    """Execute what was not executed before, every clip and its shuffled likes, and put all together."""
    hands = hands_of(target.normalizer.of(target.embodiment, target.dataset).state)
    robots: dict[str, Simulator] = {}
    pieces, digests = KeptPieces(out, MeasuredClip), digests_of(config, simulator, target, clips)
    made_of = dict(zip((clip.name for clip in clips), digests, strict=True))
    kept = pieces.resume(made_of, lambda one: one.clip.files, "*.npz", "*.png", "*.mp4")
    with (
        SimulatorProcess(config.simulator or simulator.name, config.step_timeout_s) as process,
        progress.task("transfer", len(clips), "clips", done=len(kept)) as live,
    ):
        for i, clip in enumerate(clips):
            if clip.name not in kept:
                task = _scene(config, simulator, clip)
                if task not in robots:
                    robots[task] = process.make(task)
                kept[clip.name] = _measured(config, target, robots[task], clips, i, task, hands, out)
                pieces.keep(clip.name, made_of[clip.name], kept[clip.name])
                live.advance(1, note=clip.name)
    measured = [kept[clip.name] for clip in clips]
    done = [one.clip for one in measured]
    known = [one for one in measured if one.true]
    agreements = (
        agreement(mode, [np.array(o.true[mode]) for o in known], [np.array(o.shuffled[mode]) for o in known])
        for mode in MODES
    )
    return TransferReport(
        lam=str(config.lam),
        to=config.to,
        simulator=simulator.name,
        acts_as=target.dataset,
        interval_s=target.lam.config.interval_s,
        steps=target.steps,
        clips=done,
        agreement=[one for one in agreements if one is not None],
        codes={name: round(float(np.mean([c.codes[name] for c in done])), 4) for name in done[0].codes},
        rejected={},
        named_rejected=[],
        notes=_notes(target, clips, hands),
        out=str(config.out),
        page=str(config.out / "index.html"),
    )


def _measured(
    config: TransferConfig,
    target: Target,
    robot: Simulator,
    clips: Sequence[Clip],
    i: int,
    task: str,
    hands: tuple[tuple[int, ...], ...],
    out: OutputFolder,
) -> MeasuredClip:
    """Execute a clip and its shuffled likes, and write what there is to look at."""
    clip, seed = clips[i], first_seed(config) + i
    films = _executed(robot, target, clip.latent, seed, filmed=True)
    ways = _ways(films, hands, target.steps)
    true, shuffled = dict[str, list[float]](), dict[str, list[list[float]]]()
    if clip.motion is not None and ways:
        others = [_others(clips, i, target, robot, seed, hands, draw) for draw in range(config.shuffles)]
        true = {mode: cosines(clip.motion, ways[mode]).tolist() for mode in MODES}
        shuffled = {mode: [cosines(clip.motion, other[mode]).tolist() for other in others] for mode in MODES}
    direction = {mode: round(float(np.mean(some)), 4) for mode, some in true.items() if some}
    written = _written(out, target, clip, task, seed, films, ways, direction)
    return MeasuredClip(clip=written, true=true, shuffled=shuffled)


def _scene(config: TransferConfig, simulator: type[Simulator], clip: Clip) -> str:
    """Choose the task whose scene a clip is repeated in."""
    same = [task for task, said in simulator.tasks.items() if said == clip.instruction]
    return config.task or (same or default_tasks(simulator))[0]


def _ways(
    films: dict[str, Execution], hands: tuple[tuple[int, ...], ...], steps: int
) -> dict[str, NDArray[np.float32]]:
    """Ways (n, 3) of the target's hand by mode; none where its state has no hand."""
    states = {MODES[0]: films[EXECUTED[0]].predicted[::steps], **{mode: one.states for mode, one in films.items()}}
    return {mode: way for mode, one in states.items() if (way := motion_of(one, hands)) is not None}


def _others(
    clips: Sequence[Clip],
    i: int,
    target: Target,
    robot: Simulator,
    seed: int,
    hands: tuple[tuple[int, ...], ...],
    draw: int,
) -> dict[str, NDArray[np.float32]]:
    """Execute latent actions of other moments, of any clip, in place of a clip's own."""
    random = np.random.default_rng((seed, draw))
    pool = np.concatenate([clip.latent for clip in clips])
    before = sum(len(clip.latent) for clip in clips[:i])
    n = len(clips[i].latent)
    if len(pool) > 1:  # any moment but the one in question
        at = random.integers(0, len(pool) - 1, n)
        at += at >= before + np.arange(n)
    else:
        at = np.zeros(n, np.int64)
    return _ways(_executed(robot, target, pool[at], seed, filmed=False), hands, target.steps)


def _executed(
    robot: Simulator, target: Target, latent: NDArray[np.float32], seed: int, *, filmed: bool
) -> dict[str, Execution]:
    """Execute latent actions in open and in closed loop."""
    return {m: execute(robot, target, latent, seed, closed=m == EXECUTED[1], filmed=filmed) for m in EXECUTED}


def _written(
    out: OutputFolder,
    target: Target,
    clip: Clip,
    task: str,
    seed: int,
    films: dict[str, Execution],
    ways: dict[str, NDArray[np.float32]],
    direction: dict[str, float],
) -> TransferredClip:
    """Write a clip's trajectory, plot and video."""
    interval_s, names = target.lam.config.interval_s, {part: f"{clip.name}.{part}" for part in ("npz", "png", "mp4")}
    blind = films[EXECUTED[0]]
    with whole_file(out.path(names["npz"])) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            time_s=np.arange(len(blind.predicted)) / target.control_hz,
            predicted_state=blind.predicted,
            predicted_action=blind.actions,
            latent=clip.latent,
            latent_time_s=np.arange(len(clip.frames)) * interval_s,
            open_loop_state=blind.states,
            closed_loop_state=films[EXECUTED[1]].states,
            closed_loop_action=films[EXECUTED[1]].actions,
        )
    paths = {"source": clip.motion, **ways} if clip.motion is not None else ways
    if paths:
        whole = {n: np.concatenate([np.zeros((1, 3)), np.cumsum(way, axis=0)]) for n, way in paths.items()}
        draw_paths(out.path(names["png"]), whole, interval_s)
    write_film(
        out.path(names["mp4"]), clip.frames, target.steps, [films[m].frames for m in EXECUTED], target.control_hz
    )
    return TransferredClip(
        name=clip.name,
        instruction=clip.instruction,
        task=task,
        seed=seed,
        latents=len(clip.latent),
        direction=direction,
        codes=_codes(target.lam, clip, films),
        solved={mode: one.solved for mode, one in films.items()},
        trajectory=names["npz"],
        plot=names["png"] if paths else "",
        film=names["mp4"],
    )


def _codes(lam: "Lam", clip: Clip, films: dict[str, Execution]) -> dict[str, float]:
    """Read the executed motions as the model reads any video, and compare codes with those asked for."""
    import torch

    asked = lam.vq.nearest(torch.from_numpy(clip.latent).to(lam.mean.device)).cpu().numpy()
    side, shares = lam.config.resolution, dict[str, float]()
    for mode, one in films.items():
        seen = np.stack([resize(frame, side, side) for frame in one.seen]).transpose(0, 3, 1, 2)
        codes = lam.encode(np.ascontiguousarray(seen)).codes[0].cpu().numpy()
        shares[mode] = round(float((codes == asked).mean()), 4)
        if mode == EXECUTED[1]:
            turned = [(codes == np.roll(asked, turn, axis=0)).mean() for turn in range(1, len(asked))]
            shares["chance"] = round(float(np.mean(turned)), 4) if turned else shares[mode]
    return shares


def _notes(target: Target, clips: Sequence[Clip], hands: tuple[tuple[int, ...], ...]) -> list[str]:
    """Say what limits the figures."""
    notes = []
    if not hands:
        notes.append(f"the state of {target.embodiment} has no position of a hand: no directions")
    elif all(clip.motion is None for clip in clips):
        notes.append("nobody says where the hands of these videos went: no directions; give a corpus with states")
    if seen := sum(not clip.held_out for clip in clips):
        notes.append(f"{seen} of {len(clips)} clips are of episodes that are not held out: training may have seen them")
    if target.lam.config.use_context and not target.dataset_id:
        notes.append(f"the checkpoint does not say which dataset {target.dataset} was: acted as an unknown one")
    return notes
