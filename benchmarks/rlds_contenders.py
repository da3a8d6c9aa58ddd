"""One contender of bench_rlds_read.py or bench_rlds_ingest.py: goes twice over an RLDS folder; prints what that cost.

Start-up ends once all is imported and the first episode has been read (tfds imports tensorflow only then). Of the two
passes the second counts: the first builds graphs, starts threads and warms caches, for everyone. Readers read.
`ours` is what a worker of `villa ingest` does with a part, and the commit: checksums, checks of every episode,
conversion, staged fragments, receipt. Its peers check nothing and write a row for each step, as their users do.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER, CORPUS, CONTENDER = sys.argv[1:4]
VIEWS = ("image", "wrist_image")
QUALITY = 92


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def ours() -> Iterator[None]:
    """Yield once ready (all imported, first episode read), then once after each pass; so does every contender."""
    from dataclasses import replace

    from plain_worker import RUN_ID, staged

    from dataengine import catalog
    from dataengine.store import Committer, Corpus

    source = catalog.source("openx/libero")(FOLDER)
    (part,) = source.parts()
    next(source.read(part))
    yield
    for receipt in staged(source, [replace(part, name=f"{part.name}-{i}") for i in range(2)], CORPUS):
        Committer(CORPUS, RUN_ID).commit([receipt])
        yield
    assert len(Corpus.open(CORPUS)) == 2 * receipt.num_episodes


def schema() -> Any:
    import pyarrow as pa

    fields = [pa.field(name, pa.large_binary()) for name in VIEWS]
    fields += [pa.field(name, pa.list_(pa.float32(), width)) for name, width in (("state", 8), ("action", 7))]
    return pa.schema([*fields, pa.field("language_instruction", pa.string()), pa.field("episode", pa.int64())])


def batch(images: list, state: Any, action: Any, texts: Any, episode: int) -> Any:
    import numpy as np
    import pyarrow as pa

    vectors = [pa.FixedSizeListArray.from_arrays(pa.array(v.ravel()), v.shape[1]) for v in (state, action)]
    rest = [pa.array(texts).cast(pa.string()), pa.array(np.full(len(state), episode))]
    return pa.record_batch([*(pa.array(i, pa.large_binary()) for i in images), *vectors, *rest], schema=schema())


def written(batches: Any) -> Iterator[None]:
    """Write two passes, each to a table of its own."""
    import lance
    import pyarrow as pa

    next(batches())
    yield
    for number in range(2):
        reader = pa.RecordBatchReader.from_batches(schema(), batches())
        lance.write_dataset(reader, f"{CORPUS}/{number}.lance")
        yield


def tfds_data(*, decode: bool, steps_at_once: int) -> Any:
    """Open the folder with tfds; give (number of episode, steps) in batches, and only what is written."""
    import tensorflow_datasets as tfds

    skip = None if decode else {"steps": {"observation": {name: tfds.decode.SkipDecoding() for name in VIEWS}}}
    episodes = tfds.builder_from_directory(FOLDER).as_dataset(split="train", decoders=skip)

    def wanted(step: Any) -> Any:
        observation = {name: step["observation"][name] for name in (*VIEWS, "state")}
        return {**observation, "action": step["action"], "language_instruction": step["language_instruction"]}

    def steps(number: Any, episode: Any) -> Any:
        return episode["steps"].batch(steps_at_once).map(lambda step: (number, wanted(step)))

    if steps_at_once:
        return tfds.as_numpy(episodes.enumerate().flat_map(steps))
    return ((number, map(wanted, tfds.as_numpy(e["steps"]))) for number, e in enumerate(episodes))


def tfds_skip() -> Iterator[None]:
    """As `tfds_reader`, and written."""

    def batches() -> Iterator[Any]:
        for number, s in tfds_data(decode=False, steps_at_once=1000):
            images = [s[name] for name in VIEWS]
            yield batch(images, s["state"], s["action"], s["language_instruction"], number)

    yield from written(batches)


def tfds_decode() -> Iterator[None]:
    """Decoded in batches of 64, encoded by libjpeg-turbo: the better way to do the usual."""
    import simplejpeg

    def batches() -> Iterator[Any]:
        for number, s in tfds_data(decode=True, steps_at_once=64):
            images = [[simplejpeg.encode_jpeg(i, QUALITY, "RGB", "420") for i in s[name]] for name in VIEWS]
            yield batch(images, s["state"], s["action"], s["language_instruction"], number)

    yield from written(batches)


def tfds_usual() -> Iterator[None]:
    """What conversion scripts do: iterate over `episode["steps"]`, encode with PIL."""
    import io

    import numpy as np
    from PIL import Image

    def jpeg(image: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
        return file.getvalue()

    def batches() -> Iterator[Any]:
        for number, dataset_steps in tfds_data(decode=True, steps_at_once=0):
            steps = list(dataset_steps)
            images = [[jpeg(s[name]) for s in steps] for name in VIEWS]
            state, action = (np.stack([s[name] for s in steps]) for name in ("state", "action"))
            yield batch(images, state, action, [s["language_instruction"] for s in steps], number)

    yield from written(batches)


def read_twice(sizes: Callable[[], Iterator[int]]) -> Iterator[None]:
    next(sizes())
    yield
    totals = set()
    for _ in range(2):
        totals.add(sum(sizes()))
        yield
    assert len(totals) == 1


def ours_reader() -> Iterator[None]:
    from dataengine.formats import rlds

    def sizes() -> Iterator[int]:
        for episode in rlds.episodes(FOLDER):
            yield sum(map(len, episode["steps"]["observation"]["image"]))

    yield from read_twice(sizes)


def tfds_reader() -> Iterator[None]:
    """The fastest that tfds offers: images stay JPEG, an episode comes in one piece."""

    def sizes() -> Iterator[int]:
        for _, steps in tfds_data(decode=False, steps_at_once=1000):
            yield sum(map(len, steps["image"]))

    yield from read_twice(sizes)


CONTENDERS = {c.__name__: c for c in (ours, ours_reader, tfds_reader, tfds_skip, tfds_decode, tfds_usual)}


def main() -> None:
    ends_s, start_mb = [], 0.0
    for _ in CONTENDERS[CONTENDER]():
        ends_s.append(time.process_time())
        start_mb = start_mb or rss_mb()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    measured = {"start_s": ends_s[0], "start_mb": start_mb, "peak_mb": peak_mb}
    print(json.dumps({**measured, "pass_s": ends_s[2] - ends_s[1]}))


if __name__ == "__main__":
    main()
