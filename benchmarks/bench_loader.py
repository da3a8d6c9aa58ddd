"""Random windows of 8 frames at 224 px, delivered as batches: our loader against what else one would use.

Every contender runs in processes of its own, in turns, over the same pictures on the same disk; counted is CPU time of
all its processes per window once it runs. `bare` decodes the same JPEGs from memory and does nothing else.
"""

import argparse
import json
import statistics
import tempfile

from claims import HERE, Claim, last_line, say

BATCHES = {"plain": 8, "parquet": 12}
GOALS = {"plain": 5.0, "tuned": 1.7, "web": 1.25, "parquet": 2.0}
PEERS = {
    "plain": "torch DataLoader: a window an item, PIL, floats, 2 workers",
    "tuned": "torch DataLoader: a batch an item, simplejpeg, uint8, 2 workers",
    "web": "WebDataset: a window a sample, shuffle 200, simplejpeg",
    "parquet": "Parquet row groups of 100 frames, simplejpeg",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, default=30)
    words = parser.parse_args()
    names = ("bare", "ours_table", "ours_shards", *GOALS)
    found: dict[str, list[dict]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        last_line(str(HERE / "loader_data.py"), place)
        for _ in range(words.repeats):
            for name in names:
                count = str(BATCHES.get(name, words.batches))
                found[name].append(json.loads(last_line(str(HERE / "loader_contenders.py"), place, name, count)))
    cost = {}
    for name, runs in found.items():
        each = sorted(run["cpu_s"] / run["windows"] * 1e6 for run in runs)
        wall = statistics.median(run["windows"] / run["wall_s"] for run in runs)
        cost[name] = statistics.median(each)
        print(f"{name:12} {cost[name]:.0f} us CPU per window [{each[0]:.0f} to {each[-1]:.0f}], {wall:.0f} windows/s")
    claims = [
        Claim(
            f"loader_{place}_of_decode", cost["bare"] / cost[f"ours_{place}"], 0.8, "bare JPEG decoding", "CPU/window"
        )
        for place in ("table", "shards")
    ]
    claims += [
        Claim(f"loader_vs_{n}", cost[n] / cost["ours_table"], goal, PEERS[n], "CPU/window") for n, goal in GOALS.items()
    ]
    say(claims)


if __name__ == "__main__":
    main()
