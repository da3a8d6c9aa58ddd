"""Cost of an episode as a dataset grows: small episodes go into one corpus, read, staged and committed in parts.

Small episodes (5 steps, two views of 64 px) are what fixed costs weigh on most. One shard of 1,000 of them, written by
a tfds builder, is read under 100 names; every part is committed by itself, 64 times as often as an ingest does it, so
that what grows with the table would show. Counted is CPU time per episode of one process: first parts against last.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from claims import Claim, last_line, say
from many_shards import multiply
from plain_worker import RUN_ID, staged

from dataengine import catalog
from dataengine.store import Committer, Corpus

BUILDER = str(Path(__file__).with_name("rlds_builder.py"))
PART_EPISODES = 1000
COMPARED = 10
"""Parts at either end; the first of all, which warms up, is left out."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="100,000 episodes instead of 30,000")
    num_parts = 101 if parser.parse_args().full else 31
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        look = ["--episodes", str(PART_EPISODES), "--steps", "5", "--side", "64", "--embedding", "8", "--noise", "4"]
        root = multiply(Path(last_line(BUILDER, str(place / "one"), *look)), place / "many", num_parts)
        source = catalog.source("openx/libero")(str(root))
        committer = Committer(str(place / "corpus"), RUN_ID)
        spent: list[float] = []
        began = time.process_time()
        for receipt in staged(source, source.parts(), place / "corpus"):
            committer.commit([receipt])
            now = time.process_time()
            spent.append((now - began) / PART_EPISODES * 1e6)
            began = now
        assert len(Corpus.open(place / "corpus")) == num_parts * PART_EPISODES
    tenth = (num_parts - 1) // 10
    for start in range(1, num_parts, tenth):
        some = sorted(spent[start : start + tenth])
        about = f"{statistics.median(some):5.0f} us [{some[0]:.0f} to {some[-1]:.0f}]"
        print(f"episode {start * PART_EPISODES:7,} on: {about}")
    first, last = statistics.median(spent[1 : 1 + COMPARED]), statistics.median(spent[-COMPARED:])
    thousands = f"episodes 1,000 to {COMPARED + 1},000 of {num_parts * PART_EPISODES:,}"
    say([Claim("episode_cost_flat", first / last, 0.9, thousands, "CPU per episode at the end")])


if __name__ == "__main__":
    main()
