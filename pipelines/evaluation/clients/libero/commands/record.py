"""Records the scripted expert for `villa eval libero-record`: one npz an episode, those that are there stay."""

from pathlib import Path

from pipelines.evaluation.clients.broken import BrokenError
from pipelines.evaluation.clients.channel import Channel
from pipelines.evaluation.clients.libero import record
from pipelines.evaluation.clients.libero.scene import Scene, make_scene

TRIES = 3
"""Starts for each episode that is wanted: the expert fails now and then, and a wide start may leave it no room."""


def run(suite: str, tasks: list[int], sets: list[str], count: int, side: int, quality: str, out: str) -> None:
    """Record so many successful episodes of each task from each kind of start."""
    channel = Channel()
    try:
        _record(channel, suite, tasks, sets, count, side, quality, Path(out))
    except BrokenError as error:
        channel.say("broken", why=str(error))
    else:
        channel.say("ended")


def _record(
    channel: Channel, suite: str, tasks: list[int], sets: list[str], count: int, side: int, quality: str, folder: Path
) -> None:
    for task in tasks:
        scene: Scene | None = None
        for init_set in sets:
            kept = 0
            for seed in range(TRIES * count):
                file = folder / f"{suite}-{task:02d}-{init_set}-{seed:05d}.npz"
                if kept == count:
                    break
                if file.exists() or file.with_suffix(".failed").exists():
                    kept += file.exists()
                    continue
                scene = scene or make_scene(suite, task, side=side, quality=quality)
                episode = record.attempt(scene, init_set, seed, alive=channel.alive)
                if episode is None:
                    folder.mkdir(parents=True, exist_ok=True)
                    file.with_suffix(".failed").touch()
                    continue
                record.save(file, episode)
                kept += 1
                channel.say("recorded", task=task, init_set=init_set, seed=seed, steps=len(episode["action"]))
        if scene is not None:
            scene.close()
