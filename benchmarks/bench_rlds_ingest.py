"""RLDS to Lance, the write included: a worker of `villa ingest` against tfds and `lance.write_dataset`.

All read the same shard of 100 MB, written by a tfds builder: episodes of 80 steps with two 256 px JPEGs of 16 KB, an
8-D state and a 512-D embedding that nobody keeps. Each contender runs in processes of its own, in turns; counted is
CPU time (user and system, all threads) of its second pass over the data.
"""

import argparse

from claims import Claim, Contest, say

GOALS = {
    "tfds_decode": ("rlds_ingest_decode", 15.0, "tfds decoded in batches, simplejpeg, lance.write_dataset"),
    "tfds_usual": ("rlds_ingest_usual", 15.0, "tfds step by step, PIL, lance.write_dataset"),
    "tfds_skip": ("rlds_ingest_skip", 2.0, "tfds SkipDecoding, steps batched, lance.write_dataset"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    contest = Contest(("ours", *GOALS), parser.parse_args().repeats)
    say(
        Claim(name, contest.ratio(peer, "ours"), goal, about, "CPU per step")
        for peer, (name, goal, about) in GOALS.items()
    )


if __name__ == "__main__":
    main()
