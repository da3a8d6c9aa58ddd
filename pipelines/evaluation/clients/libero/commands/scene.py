"""Lets `villa eval calibrate libero` play step by step: one order a line, one answer a line."""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.clients.broken import BrokenError
from pipelines.evaluation.clients.channel import Channel
from pipelines.evaluation.clients.libero import actors
from pipelines.evaluation.clients.libero.expert import Expert
from pipelines.evaluation.clients.libero.scene import View, make_scene, upright


def run(
    suite: str, task: int | str, side: int, quality: str, control_hz: float = 20.0, camera_turn_deg: float = 0.0
) -> None:
    """Obey until standard input ends."""
    channel = Channel()
    bent = {"control_hz": control_hz, "camera_turn_deg": camera_turn_deg}
    try:
        scene = make_scene(suite, task, side=side, quality=quality, **bent)
    except BrokenError as error:
        channel.say("broken", why=str(error))
        return
    channel.say("ready", instruction=scene.instruction)
    view: View | None = None
    expert: Expert | None = None
    for order in channel.jobs():
        what = order["do"]
        if what == "begin":
            view = scene.begin(order["init_set"], order["index"], settle=order["settle"], reset=order["reset"])
            expert = None
            channel.say("ended")
        elif what == "step":
            view, solved = scene.step(order["action"], look=order["look"])
            channel.say("ended", solved=solved)
        elif what == "observe" and view is not None:
            channel.say("ended", **_seen(view))
        elif what == "expert" and view is not None:
            expert = expert or Expert(scene)
            channel.say("ended", action=expert.act(view).tolist())


def _seen(view: View) -> dict[str, Any]:
    pictures = {"image": upright(view.image), "wrist": upright(view.wrist)}
    return {
        "raw_state": view.state.tolist(),
        "state": actors.canonical_state(view.state).tolist(),
        "side": view.image.shape[0],
        **{name: _text(picture) for name, picture in pictures.items()},
    }


def _text(picture: NDArray[np.uint8]) -> str:
    return base64.b64encode(picture.tobytes()).decode()
