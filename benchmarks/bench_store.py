"""Random windows from an object store whose files are on this machine by now: our loader on `s3://`, and on a disk.

The episodes of bench_loader.py lie in a folder, and in a bucket of a server that speaks S3 (moto, on loopback, in a
process of its own). Each run is a process of its own, local and far in turns; one run of each before brings files here.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from claims import HERE, QUIET, Claim, last_line, say

GOAL = 0.8
STORES = {"table": "corpus", "shards": "shards"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=30)
    options = parser.parse_args()
    pairs: dict[str, list[tuple[dict, dict]]] = {name: [] for name in STORES}
    with tempfile.TemporaryDirectory() as folder, bucket() as client:
        QUIET["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        last_line(str(HERE / "loader_data.py"), folder)
        for name, path in STORES.items():
            for file in filter(Path.is_file, Path(folder, path).rglob("*")):
                client.put_object(
                    Bucket="data", Key=f"{path}/{file.relative_to(Path(folder, path))}", Body=file.read_bytes()
                )
            start = time.perf_counter()
            deliver(folder, f"s3://data/{path}", 1)
            print(
                f"{name}: until seven batches are there, with nothing copied yet: {time.perf_counter() - start:.1f} s"
            )
        for _ in range(options.repeats):
            for name, path in STORES.items():
                near, far = (deliver(folder, uri, options.batches) for uri in (f"ours_{name}", f"s3://data/{path}"))
                pairs[name].append((near, far))
    claims = []
    for name, runs in pairs.items():
        for what, cost in (("CPU", "cpu_s"), ("wall", "wall_s")):
            ratios = sorted(near[cost] / far[cost] for near, far in runs)
            near, far = (statistics.median(run[i][cost] / run[i]["windows"] * 1e6 for run in runs) for i in (0, 1))
            spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f} of it"
            print(
                f"{name:7} {what:5} {near:.0f} us a window from a disk, {far:.0f} from s3:// [{spread}, pair by pair]"
            )
            claims.append(
                Claim(f"store_{name}_{what}", statistics.median(ratios), GOAL, "a local disk", f"{what}/window")
            )
    say(claims)


def deliver(folder: str, contender: str, num_batches: int) -> dict:
    return json.loads(last_line(str(HERE / "loader_contenders.py"), folder, contender, str(num_batches)))


@contextlib.contextmanager
def bucket() -> Iterator:
    """Serve an empty bucket `data` to this process and to those that it starts."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    about |= {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    os.environ.update(about)
    QUIET.update(about)
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        client = boto3.client("s3")
        for _ in range(120):
            with contextlib.suppress(Exception):
                client.create_bucket(Bucket="data")
                break
            time.sleep(0.5)
        yield client
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
