"""Reading RLDS: our reader against tfds with image decoding skipped and steps batched, its fastest form.

Both read the same shard of 100 MB, written by a tfds builder: episodes of 80 steps with two 256 px JPEGs of 16 KB, an
8-D state and a 512-D embedding. Each reader runs in processes of its own, in turns; counted is CPU time (user and
system, all threads) of its second pass. Start-up is CPU time until the first episode has been read, imports included;
memory is what is resident then.
"""

import argparse

from claims import Claim, Contest, say

PEER = "tfds SkipDecoding, steps batched"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    contest = Contest(("ours_reader", "tfds_reader"), parser.parse_args().repeats)
    claims = {
        "pass_s": ("rlds_read", 5.0, "CPU per step"),
        "start_s": ("reader_start_cpu", 8.0, "CPU until the first episode"),
        "start_mb": ("reader_memory", 1 / 0.3, "resident memory after the first episode"),
    }
    say(
        Claim(name, contest.ratio("tfds_reader", "ours_reader", what), goal, PEER, unit)
        for what, (name, goal, unit) in claims.items()
    )


if __name__ == "__main__":
    main()
