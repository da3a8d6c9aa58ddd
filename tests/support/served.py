"""A server as its users start it: a process of its own, by the command line."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from tests.support.warm import Command

ROOT = Path(__file__).parents[2]
READY = re.compile(r"ready: openpi on ws://(\S+):(\d+)/,")
LISTENS = re.compile(r"listening on ws://(\S+):(\d+);")


class Server:
    """`villa serve WORDS --port 0`, until the block ends."""

    def __init__(self, *argv, env=None, wait=READY):
        self._argv, self._env, self._wait = argv, env or {}, wait
        self.log = ""
        self._seen = threading.Event()

    def __enter__(self):
        argv = ["serve", *map(str, self._argv), "--port", "0", "--json"]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **self._env}
        if self._wait is LISTENS:  # what happens until it is ready takes as long as it does for its users
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            self.process = subprocess.Popen([sys.executable, "-m", "cli", *argv], env=env, **pipes)
        else:
            self.process = Command(*argv, env=env)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._seen.wait(300), self.log
        match = self._wait.search(self.log)
        assert match, self.log
        self.port = int(match[2])
        return self

    def _read(self):
        for line in self.process.stderr:
            self.log += line
            if self._wait.search(line):
                self._seen.set()
        self._seen.set()

    def get(self, path, **headers):
        """Status and text of a plain request."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self, number=signal.SIGTERM):
        """Stop as an operator does; return the exit code and the report."""
        self.process.send_signal(number)
        self.process.wait(60)
        out = self.process.stdout.read()
        self._reader.join(10)
        return self.process.returncode, json.loads(out) if out.strip() else None

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


def observation(seed=0, **changes):
    """What a robot of `save_policy` sees, in the words of openpi's LIBERO client."""
    draw = np.random.default_rng(seed)
    seen = {
        "observation/image": draw.integers(0, 255, (48, 64, 3), np.uint8),
        "observation/state": draw.uniform(-0.1, 0.1, 7),
        "prompt": "close the jar",
    }
    return {key: value for key, value in {**seen, **changes}.items() if value is not None}
