"""Reading RLDS: our reader against tfds with image decoding skipped and steps batched, its fastest form.

Both read the same folder, written by a tfds builder: episodes of 60 steps with two 256 px JPEGs and a 7-D state. Each
contender runs in processes of its own, alternating; counted is CPU time of the read loop, imports left out.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPEATS = 3
QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
BUILDER = Path(__file__).with_name("rlds_builder.py")

OURS = """
import sys, time
from dataengine.formats import rlds
start, steps, size = time.process_time(), 0, 0
for episode in rlds.episodes(sys.argv[1]):
    steps += len(episode["steps"]["action"])
    size += sum(map(len, episode["steps"]["observation"]["image"]))
print(steps, size, time.process_time() - start)
"""

TFDS = """
import sys, time
import tensorflow_datasets as tfds
builder = tfds.builder_from_directory(sys.argv[1])
skip = tfds.decode.SkipDecoding
decoders = dict(steps=dict(observation=dict(image=skip(), wrist_image=skip())))
start, steps, size = time.process_time(), 0, 0
episodes = builder.as_dataset(split="train", decoders=decoders)
for batch in tfds.as_numpy(episodes.flat_map(lambda episode: episode["steps"].batch(1000))):
    steps += len(batch["action"])
    size += sum(map(len, batch["observation"]["image"]))
print(steps, size, time.process_time() - start)
"""


def run(*words: str) -> list[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=QUIET).stdout.split()


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = run(str(BUILDER), place)[-1]
        seconds: dict[str, list[float]] = {"ours": [], "tfds": []}
        counts = set()
        for repeat in range(REPEATS + 1):
            for name, code in (("ours", OURS), ("tfds", TFDS)):
                steps, size, cpu_s = run("-c", code, folder)
                counts.add((steps, size))
                if repeat:  # the first pass warms the page cache
                    seconds[name].append(float(cpu_s))
        assert len(counts) == 1, f"the readers disagree: {counts}"
        num_bytes = sum(f.stat().st_size for f in Path(folder).glob("*.tfrecord*"))
        ((num_steps, _),) = counts
    per_step = {name: statistics.median(found) / int(num_steps) * 1e6 for name, found in seconds.items()}
    print(f"{num_bytes / 1e6:.0f} MB; CPU per step: ours {per_step['ours']:.0f} us, tfds {per_step['tfds']:.0f} us")
    ratio = round(per_step["tfds"] / per_step["ours"], 2)
    peer = "tfds SkipDecoding, steps batched"
    print(json.dumps({"name": "rlds_read", "ratio": ratio, "goal": 5.0, "peer": peer, "unit": "CPU per step"}))


if __name__ == "__main__":
    main()
