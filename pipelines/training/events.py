"""Metrics at rest: a JSON line for each entry, and the same figures as TensorBoard events.

The event file is written here, because TensorBoard's own writer imports tensorflow wherever that is installed: seven
seconds and 400 MB for a few numbers.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataengine.formats.tfrecord import frame


class Metrics:
    """Appends to `metrics.jsonl` and to `tensorboard/` of a run; a resumed run drops what lies after its step."""

    def __init__(self, directory: Path, step: int = 0) -> None:
        self.path = directory / "metrics.jsonl"
        _cut_after(self.path, step)
        self._lines = self.path.open("a", encoding="utf-8")
        events = directory / "tensorboard"
        events.mkdir(exist_ok=True)
        self._events = (events / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}").open("wb")
        self._event(file_version="brain.Event:2")
        if step:
            self._purge(step)

    def earlier(self) -> Iterator[dict[str, Any]]:
        """Give the entries that are there, oldest first."""
        yield from map(json.loads, self.path.read_text(encoding="utf-8").splitlines())

    def write(self, step: int, figures: Mapping[str, float], notes: Sequence[str] = ()) -> None:
        """Append the figures of one step, and what was said of them."""
        self._lines.write(json.dumps({"step": step, **figures, **({"notes": notes} if notes else {})}) + "\n")
        self._lines.flush()
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        if notes:
            text = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
            words = TensorProto(dtype=DT_STRING, string_val=["\n\n".join(notes).encode()])
            values.append(Summary.Value(tag="notes", metadata=text, tensor=words))
        self._event(step=step, summary=Summary(value=values))

    def _purge(self, step: int) -> None:
        """Tell TensorBoard to forget what an interrupted process wrote from this step on."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._event(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def _event(self, **fields: object) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._events.write(frame(Event(wall_time=time.time(), **fields).SerializeToString()))
        self._events.flush()

    def close(self) -> None:
        """Close both files."""
        self._lines.close()
        self._events.close()


def _cut_after(path: Path, step: int) -> None:
    """Keep the whole lines up to `step`: a killed process may have written further than its last checkpoint."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] > step:
                break
        except ValueError:  # the process died inside this line
            break
        kept.append(line + "\n")
    partial = path.with_suffix(".partial")
    partial.write_text("".join(kept), encoding="utf-8")
    partial.replace(path)
