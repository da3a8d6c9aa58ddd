"""EgoHOD: clips of Ego4D in which hands handle objects, captioned by a language model from narrations and detections.

ego4d.json, v2/video_540ss/...   what the `ego4d` downloader left: see the source `ego4d`
ego_hod.csv                      beside it: video_id, start_second, end_second, caption or text, perhaps dataset and uid

start_second, end_second   -> label range, seconds of Ego4D's canonical videos
caption                    -> text; a list in brackets is paraphrases, one text each

Rows of another dataset (HowTo100M has a table of its own) are left out. Stereo, redacted spans, people and benchmarks
are Ego4D's. This is the form in which Ego4D enters villa-X's mixture (arXiv 2507.23682, appendix C).

Doubtful: no licence of the captions was found; the videos are under Ego4D's.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from dataengine.clips.plan import ClipPlan, SkippedLabel, VideoPlan
from dataengine.errors import RecordError, SourceError
from dataengine.formats import csv_file, files
from dataengine.hands import Track
from dataengine.sources._clip_source import ClipSource
from dataengine.sources.ego4d.media import EXPECTED as EGO4D
from dataengine.sources.ego4d.media import Videos, hands_of

TABLE = "ego_hod.csv"
COLUMNS = ("video_id", "start_second", "end_second", "text")
OTHER_NAMES = {"caption": "text"}
DATASET = "ego4d"
EXPECTED = f"{TABLE} in {EGO4D}"


@dataclass(frozen=True)
class Egohod(ClipSource):
    """A part is a video."""

    keep_benchmarks: Annotated[bool, "Keep videos in val or test of a benchmark of Ego4D; they count as val."] = False

    name: ClassVar[str] = "egohod"
    layout: ClassVar[str] = "mp4, JSON and CSV"
    licence: ClassVar[str] = "Ego4D licence, no redistribution; captions unknown"

    def videos(self) -> Iterator[VideoPlan]:
        """Plan video by video, in the order in which the table first names them."""
        folder = files.folder(self.root, EXPECTED)
        if not (folder / TABLE).is_file():
            raise SourceError(f"{folder}: found no {TABLE}, expected {EXPECTED}; download it from the EgoHOD hub page")
        files.inside_or_stop(folder, TABLE)
        known = Videos.of(folder, keep_benchmarks=self.keep_benchmarks)
        labels: dict[str, list[ClipPlan | SkippedLabel]] = {}
        for number, row in csv_file.named(folder / TABLE, COLUMNS, other_names=OTHER_NAMES):
            labels.setdefault(row.get("video_id", ""), []).append(_label(number, row))
        for video in list(labels):
            yield known.plan(video, labels.pop(video))  # a million captions are not kept twice

    def hands(self, plan: VideoPlan) -> Track | None:
        """Give what annotators of Ego4D saw of the hands."""
        return hands_of(plan, self.media(plan))


def _label(number: int, row: dict[str, str]) -> ClipPlan | SkippedLabel:
    span = f"{row.get('start_second', '').strip()}-{row.get('end_second', '').strip()}"
    record = f"{row.get('video_id', '')}/{row.get('uid') or span}"
    if row.get("dataset", DATASET).lower() not in ("", DATASET):
        return SkippedLabel(record=record, reason="of another dataset", detail=row["dataset"])
    try:
        start_s, end_s = csv_file.seconds(row, "start_second"), csv_file.seconds(row, "end_second")
    except RecordError as error:
        detail = f"{TABLE} line {number}: {error}"
        return SkippedLabel(record=record, reason="row is damaged", detail=detail, is_bad=True)
    return ClipPlan(
        record=record,
        label_start_s=start_s,
        label_end_s=end_s,
        texts=_texts(row.get("text", "")),
        text_source="llm",
    )


def _texts(text: str) -> tuple[str, ...]:
    """Read a caption, or a list of them as Python writes it."""
    items: list[object] = [text]
    if text.lstrip().startswith("["):
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = None
        items = value if isinstance(value, list) else items
    plain = (" ".join(item.split()) for item in items if isinstance(item, str))
    return tuple(dict.fromkeys(item for item in plain if item))
