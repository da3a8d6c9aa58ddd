"""Simulators in environments of their own: processes that this one starts, asks and hears, by lines of JSON."""

import json
import os
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from dataengine.runners.processes import die_with
from pipelines.evaluation.clients.broken import install_advice

CLIENTS = Path(__file__).resolve().parent / "clients"
ASK_S = 600
KEPT_LINES = 40
ONE_THREAD = {"OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
HERE = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables that lead Python to packages of this environment."""
Answer = dict[str, Any]


@dataclass(frozen=True)
class Client:
    """A folder of `clients/`, and the Python that runs it."""

    name: str
    python: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of its environment, beside those of this process."""

    def start(self, command: str, **arguments: Any) -> subprocess.Popen[str]:
        """Start a process of the simulator: lines go in and out, what libraries print is kept apart."""
        inherited = {key: value for key, value in os.environ.items() if key not in HERE}
        return subprocess.Popen(
            [str(self.python), "-P", str(CLIENTS / self.name), command, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**inherited, **ONE_THREAD, **self.variables},
            preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  (no threads hold locks that prctl would need)
        )

    def run(self, command: str, timeout_s: float, **arguments: Any) -> tuple[list[Answer], str, int]:
        """Run a command to its end; give what it said, its last line of errors and its exit code.

        Raise TimeoutExpired, the process being killed, where that takes longer.
        """
        process = self.start(command, **arguments)
        try:
            out, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        answers = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        return answers, last_line(errors), process.returncode

    def ask(self, command: str, **arguments: Any) -> Answer:
        """Run a command to its end and give its one answer; raise DataEngineError where it has none."""
        try:
            answers, error, code = self.run(command, ASK_S, **arguments)
        except subprocess.TimeoutExpired:
            raise DataEngineError(f"{self.python}: `{command}` of the simulator took more than {ASK_S} s") from None
        ended = [answer for answer in answers if answer["event"] in ("ended", "lost", "broken")]
        if ended and ended[-1]["event"] == "broken":
            raise DataEngineError(f"{self.name}: {ended[-1]['why']}")
        if not ended or ended[-1]["event"] == "lost":
            why = ended[-1]["why"] if ended else error or f"exit code {code}"
            advice = install_advice(self.python.parents[1], self.name)
            raise DataEngineError(f"{self.python}: `{command}` of the simulator failed: {why}; {advice}")
        return {key: value for key, value in ended[-1].items() if key != "event"}


class ClientProcess:
    """One process of a client, and what it says."""

    def __init__(self, client: Client, command: str, **arguments: Any) -> None:
        self._process = client.start(command, **arguments)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: deque[str] = deque(maxlen=KEPT_LINES)
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._keep_errors)]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _keep_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)

    def hear(self, silence_s: float, stopped: threading.Event) -> Answer:
        """Wait for the next answer; `lost` where the process died, or said nothing for so long."""
        waited = 0.0
        while not stopped.is_set():
            try:
                line = self._lines.get(timeout=0.5)
            except queue.Empty:
                waited += 0.5
                if waited >= silence_s:
                    return {"event": "lost", "why": f"the simulator said nothing for {silence_s:g} s and was ended"}
                continue
            waited = 0.0
            if line is None:
                code = self._process.wait()
                why = f"signal {-code}" if code < 0 else f"exit code {code}: {last_line(chr(10).join(self._errors))}"
                return {"event": "lost", "why": f"the simulator died with {why}"}
            if (answer := json.loads(line))["event"] != "alive":
                return answer
        return {"event": "stopped"}

    def ask(self, job: Answer) -> None:
        """Send a job; a process that is gone is noticed when it is listened to."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for thread in self._threads:
            thread.join(1)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


def interpreter(path: Path) -> Path:
    """Make the path of a Python absolute; links stay, for they lead out of its environment."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (resolve() follows them)


def last_line(text: str) -> str:
    """Give the last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
