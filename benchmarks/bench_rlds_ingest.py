"""RLDS to Lance, the write included: a worker of `villa ingest` against tfds and `lance.write_dataset`.

All read the same shard of 100 MB, written by a tfds builder: episodes of 80 steps with two 256 px JPEGs of 16 KB, an
8-D state and a 512-D embedding that nobody keeps. Each contender runs in a process of its own, in turns; counted is
CPU time (user and system, all threads) of its second pass over the data. Start-up is CPU time until the first episode
has been read, imports included; memory is resident memory then.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from claims import Claim, last_line, measured, say

HERE = Path(__file__).parent
NUM_EPISODES, NUM_STEPS = 40, 80
WRITERS = ("ours", "tfds_skip", "tfds_decode", "tfds_usual")
READERS = ("ours_reader", "tfds_reader")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    found: dict[str, list[dict]] = {name: [] for name in (*WRITERS, *READERS)}
    with tempfile.TemporaryDirectory() as place:
        data = ["--episodes", str(NUM_EPISODES), "--steps", str(NUM_STEPS), "--noise", "4", "--quality", "85"]
        folder = last_line(str(HERE / "rlds_builder.py"), place, *data)
        num_bytes = sum(f.stat().st_size for f in Path(folder).glob("*.tfrecord*"))
        for _ in range(repeats):
            for name in found:
                with tempfile.TemporaryDirectory() as out:
                    found[name].append(measured(str(HERE / "rlds_to_lance.py"), folder, f"{out}/corpus", name))

    def median(name: str, what: str) -> float:
        return statistics.median(run[what] for run in found[name])

    print(f"{num_bytes / 1e6:.0f} MB, {num_bytes / NUM_EPISODES / NUM_STEPS / 1e3:.1f} KB per step, {repeats} repeats")
    for name, runs in found.items():
        line = f"{name:12} start {median(name, 'start_s'):5.2f} s, {median(name, 'start_mb'):4.0f} MB"
        if name in WRITERS:
            each = sorted(run["pass_s"] / NUM_EPISODES / NUM_STEPS * 1e6 for run in runs)
            line += f"; peak {median(name, 'peak_mb'):5.0f} MB; CPU per step {statistics.median(each):6.0f} us"
            line += f" [{each[0]:.0f} to {each[-1]:.0f}]"
        print(line)
    peers = {
        "tfds_decode": ("rlds_ingest_decode", 15.0, "tfds decoded in batches, simplejpeg, lance.write_dataset"),
        "tfds_usual": ("rlds_ingest_usual", 15.0, "tfds step by step, PIL, lance.write_dataset"),
        "tfds_skip": ("rlds_ingest_skip", 2.0, "tfds SkipDecoding, steps batched, lance.write_dataset"),
    }
    say(
        [
            *(
                Claim(name, median(peer, "pass_s") / median("ours", "pass_s"), goal, about, "CPU per step")
                for peer, (name, goal, about) in peers.items()
            ),
            Claim(
                "reader_start_cpu",
                median("tfds_reader", "start_s") / median("ours_reader", "start_s"),
                8.0,
                "tfds until its first episode",
                "CPU of a reader's start",
            ),
            Claim(
                "reader_memory",
                median("tfds_reader", "start_mb") / median("ours_reader", "start_mb"),
                1 / 0.3,
                "tfds after its first episode",
                "resident memory of a reader",
            ),
        ]
    )


if __name__ == "__main__":
    main()
