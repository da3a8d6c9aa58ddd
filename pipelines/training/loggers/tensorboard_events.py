"""Metrics as TensorBoard events, in files that are written here: docs/decisions/0020_tensorboard_events.md."""

import io
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from dataengine.formats.tfrecord import frame
from pipelines.training import by_group
from pipelines.training.grad_norms import PREFIX
from pipelines.training.loggers.logger import VAL, Pictures

SPEED = ("steps_per_s", "loader_wait_ms", "samples_per_s", "data_wait", "mfu", "memory_gb")
GROUPS = {"lr": "optim", "grad_norm": "optim", "skipped_steps": "optim", **dict.fromkeys(SPEED, "speed")}
"""Of TensorBoard's tags; all other figures are of training or, with `val_`, of validation."""


def tag(name: str) -> str:
    """Give the tag that a figure of metrics.jsonl has in TensorBoard."""
    if name.startswith(VAL):
        figure = name.removeprefix(VAL)
        return name if by_group.parsed(figure) else f"val/{figure}"
    if name.startswith(PREFIX):
        return f"optim/{name}"
    return f"{GROUPS.get(name, 'train')}/{name}"


class TensorBoard:
    """Appends to `tensorboard/` of a run; a resumed run drops what lies after its step."""

    def __init__(self, directory: Path, step: int, settings: Mapping[str, Any]) -> None:
        events = directory / "tensorboard"
        events.mkdir(exist_ok=True)
        is_first = not any(events.iterdir())
        self._is_empty = True
        self._events = (events / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}").open("wb")
        self._event(file_version="brain.Event:2")
        if not is_first:
            self._purge(step)
        self._texts(step, {"settings": f"```yaml\n{yaml.safe_dump(dict(settings), sort_keys=False)}\n```"})

    def write(self, step: int, figures: Mapping[str, float], notes: Sequence[str], pictures: Pictures) -> None:
        """Append the figures of one step, what was said of them, and pictures."""
        self._is_empty = False
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag(name), simple_value=value) for name, value in figures.items()]
        for name, pixels in pictures.items():
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
        """Close the file; of a run that never came to an entry nothing is left."""
        self._events.close()
        if self._is_empty:
            Path(self._events.name).unlink()
            with suppress(OSError):  # of an earlier call there are others
                Path(self._events.name).parent.rmdir()
