"""Cost of an episode as a corpus grows: small episodes are read, staged and committed, part by part, into two corpora.

Small episodes (5 steps, two views of 64 px) are what fixed costs weigh on most. One shard of 1,000 of them, written by
a tfds builder, is read under many names. The large corpus is filled first; then parts go into it and into a new one in
turns. Every part is committed by itself, 64 times as often as an ingest does it, so that whatever grows with the table
would show. Counted is CPU time per episode of one process.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from claims import Claim, last_line, say
from many_shards import multiply
from plain_worker import RUN_ID, staged

from dataengine import catalog
from dataengine.store import Committer, Corpus

BUILDER = str(Path(__file__).with_name("rlds_builder.py"))
PART_EPISODES = 1000
LOOK = ["--episodes", str(PART_EPISODES), "--steps", "5", "--side", "64", "--embedding", "8", "--noise", "4"]
COMPARED = 10
"""Parts that go into both corpora."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="100,000 episodes instead of 30,000")
    num_parts = 100 if parser.parse_args().full else 30
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        root = multiply(Path(last_line(BUILDER, str(scratch / "one"), *LOOK)), scratch / "many", num_parts)
        source = catalog.source("openx/libero")(str(root))
        parts = source.parts()

        def costs(corpus: Path, of: int) -> Iterator[float]:
            """Ingest the last parts, one for each turn; yield what an episode cost, in microseconds."""
            committer = Committer(str(corpus), RUN_ID)
            receipts = staged(source, parts[-of:], corpus)
            for _ in range(of):
                began = time.process_time()
                committer.commit([next(receipts)])
                yield (time.process_time() - began) / PART_EPISODES * 1e6

        large, new = costs(scratch / "large", num_parts), costs(scratch / "new", COMPARED)
        for number in range(0, num_parts - COMPARED, COMPARED):
            some = sorted(next(large) for _ in range(COMPARED))
            about = f"{statistics.median(some):5.0f} us [{some[0]:.0f} to {some[-1]:.0f}]"
            print(f"episode {number * PART_EPISODES:7,} on: {about}", flush=True)
        pairs = [(next(new), next(large)) for _ in range(COMPARED)]
        assert len(Corpus.open(scratch / "large")) == num_parts * PART_EPISODES
    for title, times_us in zip(("new corpus", "large corpus"), zip(*pairs, strict=True), strict=True):
        print(
            f"{title:12}, in turns: {statistics.median(times_us):5.0f} us [{min(times_us):.0f} to {max(times_us):.0f}]"
        )
    flat = statistics.median(small / grown for small, grown in pairs)
    peer = f"a new corpus; this one holds {(num_parts - COMPARED) * PART_EPISODES:,} episodes"
    say([Claim("episode_cost_flat", flat, 0.9, peer, "CPU per episode")])


if __name__ == "__main__":
    main()
