"""Serves one task of SIMPLER, step by step, to a simulator class in another environment."""

import base64
from typing import Any

import numpy as np

from pipelines.evaluation.clients.channel import Channel
from pipelines.evaluation.clients.simpler.scene import Scene


def run(task: str, jitters: bool) -> None:
    """Answer one request a line until standard input ends."""
    channel = Channel()
    try:
        scene = Scene(task, jitters)
        channel.say("ready")
        for job in channel.jobs():
            channel.say("ended", **_answer(scene, dict(job)))
    except Exception as error:  # whoever asked names what was lost
        channel.say("lost", why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _answer(scene: Scene, job: dict[str, Any]) -> dict[str, Any]:
    if job["do"] == "begin":
        scene.begin(job["start"])
        return {}
    if job["do"] == "step":
        return {"solved": scene.step(np.array(job["action"]))}
    if job["do"] == "expert":
        return {"action": scene.expert().tolist()}
    picture = scene.picture()
    return {
        "image": base64.b64encode(picture.tobytes()).decode(),
        "size": picture.shape[:2],
        "hand": scene.hand().tolist(),
        "fingers": scene.fingers().tolist(),
    }
