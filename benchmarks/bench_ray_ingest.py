"""What Ray costs: `villa ingest --engine ray` on parts of 100 MB against the same parts read in one plain process.

Counted is CPU time per step: of the plain process; of the driver and its workers; and of all that Ray started. The
cluster is up and its workers are warm: they import once, whatever the number of parts. Both write a corpus and commit
it, in turns. Then the share of a commit: 64 receipts committed at once, against the CPU time of 64 such parts.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from claims import Claim, last_line, say
from many_shards import multiply
from plain_worker import RUN_ID, staged
from processes import cpu_s, name, tree

from dataengine import catalog
from dataengine.runners.ray import local_cluster
from dataengine.store import Committer
from pipelines import ingest

BUILDER = str(Path(__file__).with_name("rlds_builder.py"))
SOURCE = "openx/libero"
NUM_EPISODES, NUM_STEPS = 40, 80
PARTS_OF_A_COMMIT = 64


def plain(root: Path, corpus: Path) -> float:
    """Ingest in this process, commit at the end; return its CPU seconds."""
    began = time.process_time()
    source = catalog.source(SOURCE)(str(root))
    parts = source.parts()
    receipts = list(staged(source, parts, corpus))
    done = Committer(str(corpus), RUN_ID).commit(receipts)
    assert len(done) == len(parts)
    return time.process_time() - began


def by_ray(root: Path, corpus: Path, workers: int) -> tuple[float, float, float]:
    """Ingest with Ray; return CPU seconds of driver and workers, of everything, and of the driver alone."""
    before = {pid: cpu_s(pid) for pid in tree(os.getpid())}
    settings = {"source": SOURCE, "root": str(root), "corpus": str(corpus), "workers": workers}
    report = ingest.run(ingest.IngestConfig(engine="ray", **settings))
    assert report.ok and not report.rejected_records
    spent = {pid: cpu_s(pid) - before.get(pid, 0.0) for pid in tree(os.getpid())}
    workers_s = sum(seconds for pid, seconds in spent.items() if name(pid).startswith("ray::"))
    driver_s = spent[os.getpid()]
    return driver_s + workers_s, sum(spent.values()), driver_s


def commit_s(root: Path, corpus: Path) -> float:
    """Stage 64 small parts, commit them at once; return the CPU seconds of the commit."""
    source = catalog.source(SOURCE)(str(root))
    receipts = list(staged(source, source.parts(), corpus))
    began = time.process_time()
    done = Committer(str(corpus), RUN_ID).commit(receipts)
    assert len(done) == PARTS_OF_A_COMMIT
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--parts", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        look = ["--noise", "4", "--quality", "85"]
        large = last_line(
            BUILDER, str(scratch / "l"), "--episodes", str(NUM_EPISODES), "--steps", str(NUM_STEPS), *look
        )
        small = last_line(BUILDER, str(scratch / "s"), "--episodes", "2", "--steps", "10", *look)
        root = multiply(Path(large), scratch / "large", options.parts)
        tiny = multiply(Path(small), scratch / "small", PARTS_OF_A_COMMIT)
        runs: list[tuple[float, float, float, float]] = []
        commits = []
        with local_cluster():
            for repeat in range(options.repeats + 1):
                one = plain(root, scratch / "corpus")
                shutil.rmtree(scratch / "corpus")
                by_engine = by_ray(root, scratch / "corpus", options.workers)
                shutil.rmtree(scratch / "corpus")
                spent = commit_s(tiny, scratch / "corpus")
                shutil.rmtree(scratch / "corpus")
                if repeat:  # the first round starts workers and imports
                    runs.append((one, *by_engine))
                    commits.append(spent)
    num_steps = options.parts * NUM_EPISODES * NUM_STEPS
    names = ("one plain process", "Ray: driver and workers", "Ray: with its own processes", "Ray: driver alone")
    for title, seconds in zip(names, zip(*runs, strict=True), strict=True):
        each = sorted(s / num_steps * 1e6 for s in seconds)
        print(f"{title:28} {statistics.median(each):5.1f} us CPU per step [{each[0]:.0f} to {each[-1]:.0f}]")
    one_part_s = statistics.median(one for one, *_ in runs) / options.parts
    share = statistics.median(commits) / (PARTS_OF_A_COMMIT * one_part_s)
    print(f"a commit of {PARTS_OF_A_COMMIT} parts: {statistics.median(commits) * 1e3:.0f} ms CPU, {share:.3%} of a run")
    efficiency = statistics.median(one / ours for one, ours, *_ in runs)
    say(
        [
            Claim("ray_efficiency", efficiency, 0.90, "the same parts in one plain process", "CPU per step"),
            Claim("commit_share", 0.01 / share, 1.0, "1 % of the CPU of the 64 parts", "CPU of a commit of 64 parts"),
        ]
    )


if __name__ == "__main__":
    main()
