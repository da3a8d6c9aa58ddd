"""One port for both protocols, by path: `/` is openpi's, `/vla` vla-eval's; beside them `/healthz` and `/metrics`.

The port opens before the policy is read: clients may connect at once, and get their first answer when it is warm.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from dataengine.errors import DataEngineError
from pipelines.serving import openpi, vla_eval, wire
from pipelines.serving.config import ServeConfig
from pipelines.serving.engine import Engine
from pipelines.serving.service import Recorder, Service

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

TOKEN: Final = "VILLA_SERVE_TOKEN"
TALKS: Final = {"/": openpi.talk, "/vla": vla_eval.talk}
MAX_REASON: Final = 123
"""Bytes (RFC 6455)."""
LEAST_TOKEN: Final = 16
"""Letters of a token."""
PING_S: Final = 20
GONE_S: Final = 120
"""A client that answers no ping for so long has gone."""
CLOSE_S: Final = 5
"""How long clients may take to say goodbye when the server stops."""

Load = Callable[[], tuple[Engine, Recorder | None]]


def read_token(config: ServeConfig) -> str:
    """Give the token that clients need, empty for none; raise DataEngineError where there must be one."""
    token = os.environ.get(TOKEN, "")
    if config.token_file is not None:
        try:
            token = Path(config.token_file).read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DataEngineError(f"token_file {config.token_file}: cannot be read ({error})") from error
    if not token and not is_loopback(config.host):
        raise DataEngineError(
            f"host {config.host} is open to other machines, and there is no token; set {TOKEN}, or --token-file"
        )
    if token and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise DataEngineError(
            f"the token has {len(token)} letters, expected at least {LEAST_TOKEN} of ASCII, no blanks"
        )
    return token


def is_loopback(host: str) -> bool:
    """Tell an address that only this machine reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def serve(config: ServeConfig, token: str, load: Load) -> Service:
    """Serve until SIGINT or SIGTERM; return what was done. Whatever `load` raises ends it."""
    from websockets.asyncio.server import serve as listen

    service, stop = Service(config), asyncio.Event()
    door = _Door(service, token)
    try:
        server = await listen(
            door.talk,
            config.host,
            config.port,
            compression=None,
            max_size=wire.MAX_BYTES,
            max_queue=2,
            ping_interval=PING_S,
            ping_timeout=GONE_S,
            close_timeout=CLOSE_S,
            process_request=door.look,
            server_header=None,
            logger=_silent(),
        )
    except (OSError, OverflowError) as error:
        raise DataEngineError(f"cannot listen on {config.host} port {config.port} ({_why(error)})") from error
    with _stopped_by_signals(stop):
        try:
            await _until_stopped(service, stop, load, _address(server, config))
        finally:
            server.close(code=1001, reason="the server stops")
            await server.wait_closed()
    return service


async def _until_stopped(service: Service, stop: asyncio.Event, load: Load, address: str) -> None:
    """Read the policy, then answer."""
    _tell(f"listening on {address}; reading the policy")
    stopped = asyncio.create_task(stop.wait())
    loading = asyncio.wrap_future(service.infer_thread.submit(load))
    either: set[asyncio.Future[Any]] = {stopped, loading}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        _tell("stops when the policy is read, which nothing interrupts; another Ctrl-C ends it at once")
        return
    engine, recorder = loading.result()
    _tell(f"ready: openpi on {address}/, vla-eval on {address}/vla; Ctrl-C stops")
    answering = asyncio.create_task(service.run(engine, recorder))
    try:
        await asyncio.wait({stopped, answering}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            answering.result()
        await service.drain()
    finally:
        answering.cancel()
        stopped.cancel()


def _silent() -> logging.Logger:
    """Keep tracebacks about whoever knocks at the port off the log; what matters is said in our own lines."""
    logger = logging.getLogger("villa.serve")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


class _Door:
    """Looks at every request before a connection is made of it."""

    def __init__(self, service: Service, token: str) -> None:
        self._service, self._token = service, f"Api-Key {token}".encode() if token else b""

    def look(self, connection: "ServerConnection", request: "Request") -> "Response | None":
        """Answer plain HTTP, and refuse who may not come in; None lets a client in."""
        path, _, query = request.path.partition("?")
        is_ready = self._service.ready.is_set()
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        if path == "/healthz":
            return connection.respond(status, "OK\n" if is_ready else "loading\n")
        if path == "/health":
            return connection.respond(status, json.dumps({"status": "ok" if is_ready else "loading"}) + "\n")
        # In constant time: how long a refusal takes tells nothing about the token.
        given = ", ".join(request.headers.get_all("Authorization")).encode()
        if self._token and not hmac.compare_digest(given, self._token):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "expected the header 'Authorization: Api-Key TOKEN'\n")
        if path == "/metrics":
            return connection.respond(HTTPStatus.OK, json.dumps(self._service.metrics()) + "\n")
        if path not in TALKS:
            return connection.respond(HTTPStatus.NOT_FOUND, "expected / (openpi), /vla (vla-eval) or /healthz\n")
        if _embodiment(query) is None:
            return connection.respond(HTTPStatus.BAD_REQUEST, "expected no query but ?embodiment=NAME\n")
        if self._service.num_connected >= self._service.config.max_clients:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many clients\n")
        return None

    async def talk(self, connection: "ServerConnection") -> None:
        """Speak the protocol of a connection's path, once the policy is warm."""
        from websockets.exceptions import ConnectionClosed
        from websockets.frames import CloseCode

        assert connection.request is not None, "a connection comes from a request"
        service = self._service
        service.num_connected += 1
        path, _, query = connection.request.path.partition("?")
        try:
            if await _is_ready(connection, service):
                await TALKS[path](connection, service, _embodiment(query) or "")
        except ConnectionClosed:
            pass  # the client has gone, whatever was to be sent
        except wire.WireError as error:  # it named a robot that is not served
            await connection.close(CloseCode.POLICY_VIOLATION, _shortened(service.said(error)))
        except Exception as error:  # the others are served
            service.said(error)
        finally:
            service.num_connected -= 1


def _embodiment(query: str) -> str | None:
    """Give the robot that an address names (`?embodiment=NAME`), empty for none; None for a query that is no such."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=1)
    except ValueError:
        return None
    return pairs[0][1] if pairs and pairs[0][0] == "embodiment" else None if query else ""


def _shortened(reason: str) -> str:
    """Cut a reason to what a frame that closes a connection has room for."""
    return reason.encode()[:MAX_REASON].decode(errors="ignore")


async def _is_ready(connection: "ServerConnection", service: Service) -> bool:
    """Wait until the policy is warm; False where the connection ends before. Clients wait without a limit."""
    ready, gone = asyncio.create_task(service.ready.wait()), asyncio.create_task(connection.wait_closed())
    await asyncio.wait({ready, gone}, return_when=asyncio.FIRST_COMPLETED)
    for task in (ready, gone):
        task.cancel()
    return service.ready.is_set()


@contextlib.contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set an event at SIGINT and SIGTERM; a second one ends the process."""
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _address(server: "Server", config: ServeConfig) -> str:
    port = next(iter(server.sockets)).getsockname()[1]
    return f"ws://{f'[{config.host}]' if ':' in config.host else config.host}:{port}"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())


def _tell(message: str) -> None:
    print(f"villa serve: {message}", file=sys.stderr, flush=True)  # noqa: T201
