"""The model-server protocol of vla-eval (vla-evaluation-harness): its benchmarks ask, and get one action at a time.

Every message is a msgpack map of `type`, `payload`, `seq` and `timestamp`. The client says `hello` first. Nothing
answers `episode_start` and `episode_end`: what is wrong with them is the answer to the first observation, or all later
answers would be one behind.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from dataengine.vector_layout import VectorLayout
from pipelines.evaluation.chunks import Chunks
from pipelines.serving import wire
from pipelines.serving.config import ServeConfig
from pipelines.serving.convention import client_actions
from pipelines.serving.observation import flat
from pipelines.serving.service import Service
from pipelines.serving.timing import timed

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

PROTOCOL: Final = 1
KEYS: Final = ("type", "payload", "seq", "timestamp")
UNANSWERED: Final = ("episode_start", "episode_end")
KINDS: Final = ("hello", "observation", *UNANSWERED)


class _Client:
    """One connection: its session, the chunk that is being executed, a fault that waits to be said."""

    def __init__(self, service: Service, embodiment: str) -> None:
        self.hello = hello(service.metadata(embodiment))
        self.service, self.session = service, service.open(embodiment)
        self.chunks = _chunks(service.config)
        self.fault: Exception | None = None
        self.greeted = False

    async def reply(self, frame: str | bytes) -> bytes | None:
        """Answer a message; None where the protocol has no answer."""
        ms: dict[str, float] = {}
        message: dict[str, Any] = {}
        try:
            with timed(ms, "decode"):
                message = await self.service.read(wire.decode, frame)
            if _is_one_of(message, UNANSWERED):
                await self._begin(message)
                return None
            _check(message)
            return await self._act(message, ms)
        except Exception as error:  # whatever a request does, the others are served
            return _message("error", {"error": self.service.said(error)}, _seq_of(message))

    async def _begin(self, message: dict[str, Any]) -> None:
        """Begin or end an episode. What is wrong with it waits to be said: the client reads no answer to this."""
        self.chunks, self.fault = _chunks(self.service.config), None
        try:
            await self.service.end_episode(self.session)
            _check(message)
            if not isinstance(task := message["payload"].get("task", {}), dict):
                raise wire.WireError(f"task of {message['type']} is a {type(task).__name__}, expected a map")
        except Exception as error:
            self.fault = error

    async def _act(self, message: dict[str, Any], ms: dict[str, float]) -> bytes:
        kind, payload, seq = message["type"], message["payload"], message["seq"]
        if kind == "hello":
            self.greeted = True
            return _message("hello", self.hello, seq)
        if not self.greeted:
            raise wire.WireError("found an observation, expected hello first")
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        return await self._observe(payload, seq, ms)

    async def _observe(self, payload: dict[str, Any], seq: int, ms: dict[str, float]) -> bytes:
        """Give the next action, of a new chunk where the last one is used up."""
        start, read = time.perf_counter(), ms["decode"]
        extra: dict[str, Any] = {}
        if self.chunks.needs_look:
            with timed(ms, "decode"):
                request = await self.service.request(flat(payload), self.session)
            reply = await self.service.answer(self.session, request, ms, self.service.config.action_steps)
            self.chunks.take(reply.actions)
            extra = reply.more(request)
        with timed(ms, "encode"):
            action = client_actions(self.service.config.convention, self.chunks.next()[None])[0]
            answer = _message("action", {"actions": action, **extra}, seq)
        ms["total"] = read + (time.perf_counter() - start) * 1000
        self.service.timings.add(ms)
        return answer


async def talk(connection: "ServerConnection", service: Service, embodiment: str) -> None:
    """Serve one client until it goes."""
    client = _Client(service, embodiment)
    try:
        async for frame in connection:
            if (answer := await client.reply(frame)) is not None:
                await connection.send(answer)
    finally:
        await service.close(client.session)


def _chunks(config: ServeConfig) -> Chunks:
    return Chunks(config.action_steps, config.decay)


def _is_one_of(message: dict[str, Any], kinds: Sequence[str]) -> bool:
    """Tell a message by its type, which may be anything as long as nobody looked at it."""
    kind = message.get("type")
    return isinstance(kind, str) and kind in kinds


def _seq_of(message: dict[str, Any]) -> int:
    """Give the number that an answer repeats, 0 where a message has none."""
    seq = message.get("seq")
    return seq if type(seq) is int else 0


def _check(message: dict[str, Any]) -> None:
    """Raise WireError where a part of a message is missing or of another type."""
    missing = [key for key in KEYS if key not in message]
    if missing:
        raise wire.WireError(f"message has no '{missing[0]}', expected {', '.join(KEYS)}")
    if type(message["seq"]) is not int:
        raise wire.WireError(f"message has seq {message['seq']!r:.40}, expected a whole number")
    if not isinstance(message["payload"], dict):
        raise wire.WireError(f"payload is a {type(message['payload']).__name__}, expected a map")
    if not _is_one_of(message, KINDS):
        raise wire.WireError(f"message has type {message['type']!r:.40}, expected {', '.join(KINDS)}")


def _message(kind: str, payload: dict[str, Any], seq: int) -> bytes:
    message = {"type": kind, "payload": payload, "seq": seq, "timestamp": time.time()}
    return wire.encode_vla_eval(message)


def hello(metadata: dict[str, Any]) -> dict[str, Any]:
    """Answer a greeting: what is served, what it wants of a benchmark, and what its actions are."""
    from importlib.metadata import version

    state_dim = metadata.get("state_dim", 0)
    return {
        "harness_version": version("villa-engine"),
        "protocol_version": PROTOCOL,
        "model_server": "villa-engine",
        "capabilities": {},
        "observation_params": {"send_wrist_image": "wrist" in metadata["cameras"], "send_state": state_dim > 0},
        "action_spec": action_spec(metadata),
        "observation_spec": observation_spec(metadata),
    }


def action_spec(metadata: dict[str, Any]) -> dict[str, Any]:
    """Say what each part of an action is, by the layout of the robot's actions; `raw` where nobody knows it."""
    dim, encoding = metadata.get("action_dim", 0), metadata.get("action_encoding", "")
    if encoding == "libero":
        shares = "shares of the largest step"
        return {
            "position": _spec("position", 3, "delta_xyz", shares),
            "rotation": _spec("rotation", 3, "axis_angle", shares),
            "gripper": _spec("gripper", 1, "binary_close_positive", "above 0 closes") | {"range": [-1.0, 1.0]},
        }
    layout = VectorLayout.of(encoding or "none", dim, grippers=",".join(map(str, metadata.get("action_grippers", []))))
    units = "metres and radians"
    spec: dict[str, Any] = {}
    if len(layout.arms) == 1 and (arm := layout.arms[0]):
        delta = encoding.endswith(("delta", "velocity"))
        if len(arm.position) == 3:
            spec["position"] = _spec("position", 3, "delta_xyz" if delta else "absolute_xyz", units)
        if len(arm.rotation) == 3:
            spec["rotation"] = _spec("rotation", 3, "euler_xyz", units)
        if arm.joints:
            spec["joints"] = _spec("joints", len(arm.joints), encoding, units)
        if arm.gripper is not None:
            spec["gripper"] = _spec("gripper", 1, "continuous_01", "0 closed to 1 open") | {"range": [0.0, 1.0]}
    return spec or {"action": _spec("action", dim, "raw", "names and units: metadata of the openpi protocol")}


def observation_spec(metadata: dict[str, Any]) -> dict[str, Any]:
    """Say what an observation must have beside its pictures, whose names differ from benchmark to benchmark."""
    spec = {"language": _spec("language", 0, "language", "")}
    if "wrist" in metadata["cameras"]:
        spec["wrist"] = _spec("wrist", 0, "rgb_hwc_uint8", "")
    if dim := metadata.get("state_dim", 0):
        encoding = metadata.get("state_encoding") or "raw"
        if encoding == "libero":
            return spec | {"state": _spec("state", dim, "eef_pos3_axisangle3_gripper2", "metres and radians")}
        state_format = "joint_positions" if encoding == "joint_position" else f"canonical_{encoding}"
        spec["state"] = _spec("state", dim, state_format, "metres, radians, grippers 0 closed to 1 open")
    return spec


def _spec(name: str, dims: int, format_name: str, description: str) -> dict[str, Any]:
    return {"name": name, "dims": dims, "format": format_name, "description": description}
