"""A server that speaks S3 on this machine, behind one that answers 503, or nothing more, when it is asked to."""

import http.client
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.object_store import served_s3


class Faults:
    """What goes wrong from now on."""

    client: Any
    """Of the store, past what goes wrong when nothing does."""

    def __init__(self) -> None:
        self.share_503 = 0.0
        self.stall_after: int | None = None
        """Bytes of a large answer after which nothing more comes."""
        self.stalled = threading.Event()
        self.num_failed = self.num_bytes = 0
        self.random = random.Random(0)


@contextmanager
def flaky_store() -> Iterator[tuple[str, Faults]]:
    """Serve; give the address and what is to go wrong."""
    faults = Faults()
    with served_s3() as behind:
        yield from _proxy(behind, faults)


def _proxy(behind: tuple[str, int], faults: Faults) -> Iterator[tuple[str, Faults]]:
    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if faults.random.random() < faults.share_503:
                faults.num_failed += 1
                self.send_response(503, "Slow Down")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            connection = http.client.HTTPConnection(*behind)
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            data = response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            if faults.stall_after is not None and len(data) > faults.stall_after:
                self.wfile.write(data[: faults.stall_after])
                self.wfile.flush()
                faults.stalled.set()
                threading.Event().wait(30)
                return
            if self.command != "HEAD":
                self.wfile.write(data)
                faults.num_bytes += len(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_address[1]}", faults
    proxy.shutdown()
