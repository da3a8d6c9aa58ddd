"""Planning four million narrations in Ego4D's layout, without a video: CPU time and memory of one process.

The peer reads the same file with Python's own `json` and lists the same ranges and texts, as loaders of EgoClip do.
Each contender runs in a process of its own; what is counted is its user and system time and its largest memory.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

VIDEOS = 9_600
LINES = (
    "picks a bag of clothes from the floor",
    "puts the cup on the table",
    "cuts the bread with a knife",
    "walks around",
)

PLAN = """
from dataengine import catalog
parts = catalog.source("ego4d")(ROOT).parts()
print(len(parts))
"""
PEER = """
import json
from pathlib import Path
found = []
for uid, passes in json.loads(Path(ROOT, "v2/annotations/narration.json").read_bytes()).items():
    for name in ("narration_pass_1", "narration_pass_2"):
        lines = sorted(passes[name]["narrations"], key=lambda line: line["timestamp_sec"])
        gaps = [b["timestamp_sec"] - a["timestamp_sec"] for a, b in zip(lines, lines[1:])]
        half = sum(gaps) / len(gaps) / 4.9 / 2
        for line in lines:
            text = line["narration_text"]
            if text.startswith("#C C "):
                found.append((uid, line["timestamp_sec"] - half, line["timestamp_sec"] + half, text[5:]))
print(len(found))
"""
MEASURED = """
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6)
"""


def write(root: Path, narrations: int) -> int:
    """Write ego4d.json and narration.json; return the bytes of the latter."""
    draw = random.Random(0)
    path = root / "v2" / "annotations" / "narration.json"
    path.parent.mkdir(parents=True)
    videos = []
    with path.open("w") as file:
        file.write("{")
        for number in range(VIDEOS):
            uid = str(uuid.UUID(int=draw.getrandbits(128)))
            videos.append({"video_uid": uid, "duration_sec": 1500.0, "fb_participant_id": number % 900})
            passes = {f"narration_pass_{k}": one_pass(draw, narrations // VIDEOS // 2) for k in (1, 2)}
            file.write(f'{"," if number else ""}"{uid}":{json.dumps({"status": "complete", **passes})}')
        file.write("}")
    (root / "ego4d.json").write_text(json.dumps({"videos": videos, "concurrent_video_sets": []}))
    return path.stat().st_size


def one_pass(draw: random.Random, count: int) -> dict:
    time_s, clips = 0.0, []
    for _ in range(count):
        time_s = round(time_s + draw.expovariate(1 / 5.5), 4)
        clips.append(
            {
                "timestamp_sec": time_s,
                "timestamp_frame": int(time_s * 30),
                "_unmapped_timestamp_sec": time_s,
                "narration_text": f"#C C {draw.choice(LINES)}",
                "annotation_uid": str(uuid.UUID(int=draw.getrandbits(128))),
            }
        )
    return {"narrations": clips, "summaries": []}


def cost(code: str, root: Path) -> tuple[float, float]:
    """Run a program by itself; return its CPU seconds and its largest memory in GB."""
    command = [sys.executable, "-c", f"ROOT = {str(root)!r}\n{code}\n{MEASURED}"]
    seconds, gigabytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
    return float(seconds), float(gigabytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--narrations", type=int, default=4_000_000)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        print(f"narration.json: {write(root, args.narrations) / 1e6:.0f} MB, {args.narrations:,} narrations")
        ours, peer = cost(PLAN, root), cost(PEER, root)
    print(f"villa: {ours[0]:.1f} s CPU, {ours[1]:.2f} GB")
    print(f"json:  {peer[0]:.1f} s CPU, {peer[1]:.2f} GB")
    print(f"ratio: time {peer[0] / ours[0]:.2f}, memory {peer[1] / ours[1]:.2f}")


if __name__ == "__main__":
    main()
