"""What a node holds of millions of episodes, and how long a rank takes until it could draw its first batch.

Episodes without pictures lie in a corpus and in shards. A rank opens them, parts what is held out and makes the
sampler, once before anything of them is known on the machine, then again. Counted are the seconds, the bytes of the
files that all ranks map, and what each rank has for itself beyond an equal process over 1,000 episodes; a node has 8.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from claims import HERE, QUIET, Claim, last_line, say

RANKS = 8
GOAL_BYTES, GOAL_S = 200.0, 30.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--episodes", type=int, default=5_200_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    claims = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, count in (("few", 1000), ("many", options.episodes)):
            (Path(scratch) / name).mkdir()
            last_line(str(HERE / "made_episodes.py"), str(Path(scratch) / name), str(count))
        for kind in ("corpus", "shards"):
            QUIET["XDG_CACHE_HOME"] = cache = str(Path(scratch) / "cache" / kind)
            own_mb = statistics.median(rank(scratch, "few", kind)["own_mb"] for _ in range(options.repeats))
            first, *later = [rank(scratch, "many", kind) for _ in range(options.repeats + 1)]
            mapped = sum(file.stat().st_size for file in Path(cache).rglob("*.arrow"))
            own = max(statistics.median(one["own_mb"] for one in later) - own_mb, 0.0) * 1e6
            per_episode = (mapped + RANKS * own) / options.episodes
            seconds = statistics.median(one["wall_s"] for one in later)
            print(
                f"{kind}: first {first['wall_s']:.1f} s ({first['cpu_s']:.1f} s of CPU, {first['peak_mb']:.0f} MB), "
                f"then {seconds:.1f} s; {mapped / options.episodes:.0f} bytes an episode mapped by all ranks and "
                f"{own / options.episodes:.1f} in each"
            )
            print(f"{kind}: {per_episode:.0f} bytes an episode for a node of {RANKS} ranks")
            claims += [
                Claim(f"planning_bytes_{kind}", GOAL_BYTES / per_episode, 1.0, "200 bytes an episode", "bytes a node"),
                Claim(f"planning_seconds_{kind}", GOAL_S / seconds, 1.0, "30 s", "s until the sampler is ready"),
                Claim(f"planning_first_seconds_{kind}", GOAL_S / first["wall_s"], 1.0, "30 s", "s, nothing known yet"),
            ]
    say(claims)


def rank(scratch: str, name: str, kind: str) -> dict[str, float]:
    return json.loads(last_line(__file__, "--rank", str(Path(scratch) / name / kind)))


def plan(uri: str) -> None:
    """Do what a rank does before its first batch."""
    from dataengine.windows.mixture import Mixture, WindowSampler
    from dataengine.windows.window import WindowSpec
    from pipelines.training import data, held_out

    start, cpu = time.perf_counter(), time.process_time()
    reader = data.open_reader(uri)
    train, _ = held_out.split(reader, 0.01)
    spec = WindowSpec(num_frames=8, interval_s=0.4)
    sampler = WindowSampler(train, spec, batch_size=512, seed=0, mixture=Mixture(human_share=0.5))
    sampler.batch(0)
    spent = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    facts = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    own = sum(
        int(line.split()[1])
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines()
        if line.startswith(("Private_Dirty", "Private_Clean", "Swap:"))
    )
    shared = mapped_kb("tables")
    peak = int(facts["VmHWM"].split()[0])
    print(json.dumps({**spent, "own_mb": (own - shared) * 1024 / 1e6, "peak_mb": peak * 1024 / 1e6}))


def mapped_kb(folder: str) -> int:
    """Count private pages of mapped files below a folder: of one process alone, they are those of the page cache."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        fields = line.split()
        if "-" in fields[0] and not fields[0].endswith(":"):
            inside = len(fields) > 5 and f"/{folder}/" in fields[5]
        elif inside and fields[0] in ("Private_Clean:", "Private_Dirty:"):  # dirty until the disk has them
            total += int(fields[1])
    return total


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        plan(sys.argv[2])
    else:
        main()
