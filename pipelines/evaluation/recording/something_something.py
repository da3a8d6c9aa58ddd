"""Writes clips in the layout of Something-Something V2: videos without actions, each with a filled-in template.

20bn-something-something-v2/<id>.webm                  VP9, 240 pixels high, 12 Hz
labels.json {template: index}, train.json, validation.json [{id, label, template, placeholders}], test.json [{id}]

Two kinds of clips: Meta-World tasks that the robot recordings do not contain, slowed down and filmed from a new
camera each time; and pieces of two videos of real hands that Debian's package opencv-doc ships, where it is installed.
Beside them lie two clips that are spoilt on purpose, as real collections have them: a file cut short and a camera that
froze.
"""

import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataengine.formats.resize import to_rgb
from dataengine.formats.video.containers import READ_OPTIONS
from dataengine.whole_file import write_whole
from pipelines.evaluation.video import write_video

RATE_HZ = 12
HEIGHT = 240
FIRST_SEED = 500_000
FIRST_ID = 900_001
STILL_STEPS = 8
"""Control steps that the arm waits before and after, so that clips last 2 to 4 s as the original's do."""
BROKEN_BYTES = 200
"""What is left of a spoilt file: its header, and no picture."""
VIDEOS = "20bn-something-something-v2"
HANDS = Path("/usr/share/doc/opencv-doc/opencv4/html")


@dataclass(frozen=True)
class Template:
    """One template and what fills it; the arm acts at `pace` of its expert's speed."""

    text: str
    placeholders: tuple[str, ...]
    pace: float = 0.5


SIMULATED: Mapping[str, Template] = {
    "drawer-open": Template("Opening [something]", ("a drawer",)),
    "drawer-close": Template("Closing [something]", ("a drawer",)),
    "door-close": Template("Closing [something]", ("a door",)),
    "door-open": Template("Opening [something]", ("a door",), 0.7),
    "handle-press": Template("Moving [something] down", ("a handle",), 0.35),
    "lever-pull": Template("Moving [something] up", ("a lever",)),
    "plate-slide": Template("Pushing [something] with [something]", ("a plate", "a gripper"), 0.35),
    "coffee-button": Template("Pushing [something] with [something]", ("a button", "a gripper"), 0.35),
    "faucet-open": Template("Moving part of [something]", ("a faucet",), 0.35),
}

_TO_CAMERA, _AWAY = "Moving [something] towards the camera", "Moving [something] away from the camera"
_SHOW, _HOLD = "Showing [something] to the camera", "Holding [something]"
REAL: Sequence[tuple[str, float, float, Template]] = (
    ("cup", 0.0, 1.6, Template(_HOLD, ("a cup",))),
    ("cup", 1.4, 3.8, Template(_SHOW, ("a cup",))),
    ("cup", 3.6, 5.8, Template(_AWAY, ("a cup",))),
    ("cup", 5.6, 8.0, Template(_TO_CAMERA, ("a cup",))),
    ("box", 0.0, 3.0, Template(_HOLD, ("a box",))),
    ("box", 2.6, 5.6, Template(_SHOW, ("a box",))),
    ("box", 5.4, 8.4, Template(_SHOW, ("a box",))),
    ("box", 8.2, 11.2, Template(_SHOW, ("a box",))),
    ("box", 11.0, 15.0, Template(_AWAY, ("a box",))),
)
"""Video, first and last second, and what is seen there (by eye)."""


@dataclass(frozen=True, kw_only=True)
class Clips:
    """How many clips of each kind a folder holds, and how many of them belong to the test split, without label."""

    simulated: int
    real: int
    unlabelled: int
    frozen: int
    """Clips of one picture, for curation to find."""
    broken: int
    """Files cut short, for ingest to reject; in no other count."""
    frames: int


def write_simulated(root: Path, notes: Path, task: str, count: int) -> None:
    """Film so many successful attempts of a Meta-World task; a repeated call keeps what is there."""
    number, template = list(SIMULATED).index(task), SIMULATED[task]
    wanted = [notes / f"{FIRST_ID + 100 * number + i}.json" for i in range(count)]
    if all(note.exists() for note in wanted):
        return
    from pipelines.evaluation.simulators._camera import free_camera
    from pipelines.evaluation.simulators.metaworld import Metaworld

    simulator = Metaworld(task)
    width = (320, 424)[number % 2]
    seed = FIRST_SEED
    for note in wanted:
        while not note.exists():
            random = np.random.default_rng(seed)
            view = free_camera(
                (0.0, 0.7, 0.12),
                distance=random.uniform(1.0, 1.4),
                azimuth=random.uniform(-110.0, 10.0),
                elevation=random.uniform(-50.0, -25.0),
            )
            frames = _film(simulator, seed, template.pace, view, width)
            seed += 1
            if frames is not None:
                _write(root, note, frames, template, "simulated")


def write_real(root: Path, notes: Path, count: int, folder: Path = HANDS) -> None:
    """Cut the first so many pieces of the videos of real hands; none when the folder has no such videos."""
    for i, (video, start_s, end_s, template) in enumerate(REAL[:count]):
        path, note = folder / f"{video}.mp4.gz", notes / f"{FIRST_ID + 9000 + i}.json"
        if path.is_file() and not note.exists():
            frames = list(_cut(gzip.decompress(path.read_bytes()), start_s, end_s))
            _write(root, note, frames, template, "real")


def write_spoilt(root: Path, notes: Path) -> None:
    """Film a still picture, and cut another file short: what curation and ingest are there to find."""
    wanted = {kind: notes / f"{FIRST_ID + 9900 + i}.json" for i, kind in enumerate(("frozen", "broken"))}
    if all(note.exists() for note in wanted.values()):
        return
    from pipelines.evaluation.simulators._camera import free_camera
    from pipelines.evaluation.simulators.metaworld import Metaworld

    simulator = Metaworld("drawer-open")
    simulator.reset(FIRST_SEED)
    picture = simulator.picture(
        free_camera((0.0, 0.7, 0.12), distance=1.2, azimuth=-50.0, elevation=-40.0), HEIGHT, 320
    )
    for kind, note in wanted.items():
        _write(root, note, [picture] * (2 * RATE_HZ), Template(_HOLD, ("a drawer",)), kind)
        if kind == "broken":
            video = root / VIDEOS / f"{note.stem}.webm"
            video.write_bytes(video.read_bytes()[:BROKEN_BYTES])


def write_labels(root: Path, notes: Path) -> Clips:
    """Write the four JSON files over all clips that are there, and count them."""
    notes_read = [json.loads(note.read_text(encoding="utf-8")) for note in sorted(notes.glob("*.json"))]
    splits: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    sound = [one for one in notes_read if one["kind"] not in ("frozen", "broken")]
    splits["train"] = [one["entry"] for one in notes_read if one not in sound]
    for i, one in enumerate(sound):
        split = "validation" if i % 10 == 3 else "test" if i % 20 == 7 else "train"
        splits[split].append({"id": one["entry"]["id"]} if split == "test" else one["entry"])
    templates = sorted({one["entry"]["template"] for one in notes_read})
    bare = [template.replace("[", "").replace("]", "") for template in templates]
    write_whole(root / "labels.json", json.dumps({template: str(i) for i, template in enumerate(bare)}, indent=2))
    for split, entries in splits.items():
        write_whole(root / f"{split}.json", json.dumps(entries, indent=2))
    kinds = [one["kind"] for one in notes_read]
    return Clips(
        simulated=kinds.count("simulated"),
        real=kinds.count("real"),
        unlabelled=len(splits["test"]),
        frozen=kinds.count("frozen"),
        broken=kinds.count("broken"),
        frames=sum(one["frames"] for one in notes_read if one["kind"] != "broken"),
    )


def _film(simulator: Any, seed: int, pace: float, view: Any, width: int) -> list[NDArray[np.uint8]] | None:
    """Film one attempt at 12 Hz; None when it fails."""
    simulator.reset(seed)
    frames: list[NDArray[np.uint8]] = []
    step, finish = 0, None
    while step < 150 and (finish is None or step < finish + STILL_STEPS):
        if len(frames) <= step * RATE_HZ / simulator.control_hz:
            frames.append(simulator.picture(view, HEIGHT, width))
        action = simulator.expert()
        action[:3] *= pace if step >= STILL_STEPS and finish is None else 0.0
        if simulator.step(action) and finish is None:
            finish = step
        step += 1
    return frames if finish is not None else None


def _cut(video: bytes, start_s: float, end_s: float) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a span at 12 Hz, scaled to 240 pixels of height."""
    import av

    av.logging.set_level(av.logging.PANIC)  # one of the two videos has a damaged unit and says so
    with av.open(io.BytesIO(video), container_options=READ_OPTIONS) as container:
        count = 0
        for frame in container.decode(video=0):
            if frame.time is not None and start_s + count / RATE_HZ <= frame.time < end_s:
                width = round(frame.width * HEIGHT / frame.height / 2) * 2
                yield to_rgb(frame, HEIGHT, width)
                count += 1


def _write(root: Path, note: Path, frames: list[NDArray[np.uint8]], template: Template, kind: str) -> None:
    """Write the video, then the note that says it is whole."""
    num_frames = write_video(root / VIDEOS / f"{note.stem}.webm", frames, RATE_HZ, "libvpx-vp9")
    label = template.text
    for word in template.placeholders:
        label = label.replace("[something]", word, 1)
    entry = {
        "id": note.stem,
        "label": label.lower(),
        "template": template.text,
        "placeholders": list(template.placeholders),
    }
    write_whole(note, json.dumps({"entry": entry, "kind": kind, "frames": num_frames}, indent=2))
