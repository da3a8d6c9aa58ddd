"""Metrics at rest: a JSON line for each entry, and the same figures as TensorBoard events.

The event file is written here: docs/decisions/0020_tensorboard_events.md.
"""

import io
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataengine.formats.tfrecord import frame
from pipelines.training.grad_norms import PREFIX
from pipelines.training.json_lines import cut_after

VAL = "val_"
"""What names of figures on held-out windows begin with."""
SPEED = ("steps_per_s", "loader_wait_ms", "samples_per_s", "data_wait", "mfu", "memory_gb")
GROUPS = {"lr": "optim", "grad_norm": "optim", "skipped_steps": "optim", **dict.fromkeys(SPEED, "speed")}
"""Of TensorBoard's tags; all other figures are of training or, with `val_`, of validation."""


def tag(name: str) -> str:
    """Give the tag that a figure of metrics.jsonl has in TensorBoard."""
    if name.startswith(VAL):
        return f"val/{name.removeprefix(VAL)}"
    if name.startswith(PREFIX):
        return f"optim/{name}"
    return f"{GROUPS.get(name, 'train')}/{name}"


class Metrics:
    """Appends to `metrics.jsonl` and to `tensorboard/` of a run; a resumed run drops what lies after its step."""

    def __init__(self, directory: Path, step: int = 0, settings: str = "") -> None:
        """Go on after a step; `settings` is a text that TensorBoard shows."""
        self.path = directory / "metrics.jsonl"
        cut_after(self.path, step)
        self._lines = self.path.open("a", encoding="utf-8")
        events = directory / "tensorboard"
        events.mkdir(exist_ok=True)
        is_first = not any(events.iterdir())
        self._events = (events / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}").open("wb")
        self._event(file_version="brain.Event:2")
        if not is_first:
            self._purge(step)
        if settings:
            self._texts(step, {"settings": f"```yaml\n{settings}\n```"})

    def earlier(self) -> Iterator[dict[str, Any]]:
        """Give the entries of training that are there, oldest first."""
        for line in self.path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if "loss" in entry:
                yield entry

    def write(
        self,
        step: int,
        figures: Mapping[str, float],
        notes: Sequence[str] = (),
        pictures: Mapping[str, NDArray[np.uint8]] | None = None,
    ) -> None:
        """Append the figures of one step, what was said of them, and pictures (height, width, 3) by name."""
        self._lines.write(json.dumps({"step": step, **figures, **({"notes": notes} if notes else {})}) + "\n")
        self._lines.flush()
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag(name), simple_value=value) for name, value in figures.items()]
        for name, pixels in (pictures or {}).items():
            png = io.BytesIO()
            Image.fromarray(pixels).save(png, "png")
            height, width = pixels.shape[:2]
            picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png.getvalue())
            values.append(Summary.Value(tag=tag(VAL + name), image=picture))
        self._event(step=step, summary=Summary(value=values))
        if notes:
            self._texts(step, {"notes": "\n\n".join(notes)})

    def _texts(self, step: int, texts: Mapping[str, str]) -> None:
        """Append texts in markdown."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        values = [
            Summary.Value(tag=name, metadata=about, tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode()]))
            for name, text in texts.items()
        ]
        self._event(step=step, summary=Summary(value=values))

    def _purge(self, step: int) -> None:
        """Tell TensorBoard to forget what an interrupted process wrote after this step."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._event(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def _event(self, **fields: object) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._events.write(frame(Event(wall_time=time.time(), **fields).SerializeToString()))
        self._events.flush()

    def close(self) -> None:
        """Close both files; of a run that never came to an entry nothing is left."""
        self._lines.close()
        self._events.close()
        if self.path.stat().st_size == 0:
            self.path.unlink()
            Path(self._events.name).unlink()
            with suppress(OSError):  # of an earlier call there are others
                Path(self._events.name).parent.rmdir()
