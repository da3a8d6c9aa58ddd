"""The policy protocol of openpi: the server speaks first (metadata), then a reply for each observation.

An observation is a msgpack map (`observation.py` has its names), a reply one with `actions` (h, a). An error is a text
frame, and the connection lives on. An episode begins with the connection, with `reset: true` in an observation, or with
another `session_id`. RoboArena's `endpoint: reset` is answered by text, which openpi's own client takes for an error,
so only where it was sent.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.serving import wire
from pipelines.serving.convention import client_actions
from pipelines.serving.observation import Reply, Request, flag, flat
from pipelines.serving.service import Service, Session
from pipelines.serving.timing import timed

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection


async def talk(connection: "ServerConnection", service: Service, embodiment: str) -> None:
    """Serve one client until it goes."""
    await connection.send(wire.encode_openpi(service.metadata(embodiment)))
    session = service.open(embodiment)
    try:
        async for frame in connection:
            await connection.send(await _answer(frame, session, service))
    finally:
        await service.close(session)


async def _answer(frame: str | bytes, session: Session, service: Service) -> str | bytes:
    """Answer one frame: bytes with a reply, or text with an error."""
    ms: dict[str, float] = {}
    try:
        with timed(ms, "total"):
            with timed(ms, "decode"):
                asked = await service.read(_read, frame, session)
                request = await service.request(asked.seen, session, begins=asked.begins) if asked.infers else None
            if asked.begins:
                await service.end_episode(session)
            session.session_id = asked.session_id
            if request is None:
                return "reset successful"
            reply = await service.answer(session, request, ms, service.config.action_steps)
            with timed(ms, "encode"):
                answer = wire.encode_openpi(
                    {
                        "actions": client_actions(service.config.convention, reply.actions),
                        **_beside(reply, request, ms, session),
                    }
                )
    except Exception as error:  # whatever a request does, the others are served
        return service.said(error)
    session.previous_ms = ms
    service.timings.add(ms)
    return answer


@dataclass(frozen=True)
class _Asked:
    """What a frame asks for."""

    seen: dict[str, Any]
    """The observation, flat."""
    infers: bool
    """Whether actions are wanted, and not only a new episode."""
    begins: bool
    """Whether a new episode begins with it."""
    session_id: str | int | None


def _read(frame: str | bytes, session: Session) -> _Asked:
    """Read a frame, and check what it says of episodes."""
    seen = flat(wire.decode(frame))
    endpoint = seen.get("endpoint", "infer")
    if not isinstance(endpoint, str) or endpoint not in ("infer", "reset"):
        raise wire.WireError(f"endpoint is {endpoint!r:.40}, expected 'infer' or 'reset'")
    session_id = seen.get("session_id", session.session_id)
    if not isinstance(session_id, str | int | None):
        raise wire.WireError(f"session_id is a {type(session_id).__name__}, expected text or a number")
    is_other = session.session_id is not None and session_id != session.session_id
    begins = endpoint == "reset" or flag(seen, "reset") or is_other
    return _Asked(seen, endpoint == "infer", begins, session_id)


def _beside(reply: Reply, request: Request, ms: dict[str, float], session: Session) -> dict[str, Any]:
    """Give what stands beside `actions`, no arrays among it: ActionChunkBroker slices all that are."""
    timing = {f"{stage}_ms": value for stage, value in ms.items()}
    timing |= {f"prev_{stage}_ms": session.previous_ms[stage] for stage in ("encode", "total") if session.previous_ms}
    return {
        "policy_timing": {"infer_ms": ms["infer"]},
        "server_timing": timing,
        **reply.more(request),
    }
