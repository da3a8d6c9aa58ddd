"""Every source of human video in its publisher's layout, in miniature: two videos or so, of two people where told.

Each writer returns the numbers of the first and the last frame (`counted_video`) of every clip, by its record, as they
follow from the labels at 10 frames in a second. Labels last two seconds at least, so that no clip gets context.
"""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import simplejpeg
import yaml

from tests.support import counted_video, rh20t_tree
from tests.support import something_something_tree as ssv2

Frames = dict[str, tuple[int, int]]
VP9 = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}
HEVC = {"codec": "libx265", "options": {"x265-params": "log-level=none", "preset": "ultrafast"}}
MPEG4 = {"codec": "mpeg4", "options": {"qscale": "3"}}


def _text(path: Path, lines: str | list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines if isinstance(lines, str) else "\n".join(lines), encoding="utf-8")


def _json(path: Path, value: Any) -> None:
    _text(path, json.dumps(value))


def write_egtea(root: Path) -> Frames:
    sessions = {"OP01-R01-PastaSalad": "Take_Bread", "OP02-R03-Burger": "Open_Fridge"}
    rows = []
    for i, (session, action) in enumerate(sessions.items()):
        verb, noun = action.split("_")
        rows.append(f"{i}; {session}-1000-3500-F000024-F000084; {session}; 1000; 3500; {action}; {verb}; {noun}")
        counted_video.write(root / "videos" / f"{session}.mp4", 96, 24.0, **MPEG4)
    _text(root / "action_annotation" / "raw_annotations" / "action_labels.csv", rows)
    return {f"{session}-1000-3500-F000024-F000084": (24, 82) for session in sessions}  # last: 3.4 s


def write_epic_kitchens(root: Path) -> Frames:
    head = "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,"
    head += "stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
    about = "take plate,take,0,plate,2,['plate'],[2]"
    for split, person, video, rate_hz in (
        ("train", "P01", "P01_01", 60000 / 1001),
        ("validation", "P02", "P02_101", 50),
    ):
        times = "00:00:01.00,00:00:01.00,00:00:03.50,1,999"
        _text(root / "annotations" / f"EPIC_100_{split}.csv", [head, f"{video}_0,{person},{video},{times},{about}"])
        counted_video.write(root / "EPIC-KITCHENS" / person / "videos" / f"{video}.MP4", int(4 * rate_hz), rate_hz)
    return {"P01_01_0": (60, 204), "P02_101_0": (50, 170)}


UIDS = ("e1d2ab3c-0001-4b6f-9a1c-aaaaaaaaaaaa", "e1d2ab3c-0002-4b6f-9a1c-bbbbbbbbbbbb")


def write_ego4d(root: Path) -> Frames:
    videos = [
        {"video_uid": uid, "duration_sec": 8.0, "is_stereo": False, "fb_participant_id": i, "redacted_intervals": None}
        for i, uid in enumerate(UIDS)
    ]
    splits = {"split_em": None, "split_av": None, "split_fho": None}
    _json(root / "ego4d.json", {"videos": [{**video, **splits} for video in videos], "concurrent_video_sets": []})
    said = [
        {
            "timestamp_sec": t,
            "timestamp_frame": int(30 * t),
            "narration_text": "#C C picks a bag",
            "annotation_uid": "u",
        }
        for t in (3.0, 5.0)
    ]
    passes = {"status": "complete", "narration_pass_1": {"narrations": said, "summaries": []}}
    _json(root / "v2" / "annotations" / "narration.json", dict.fromkeys(UIDS, passes))
    for uid in UIDS:
        counted_video.write(root / "v2" / "video_540ss" / f"{uid}.mp4", 240, 30.0)
    # around each narration 2 s of context
    return {f"{uid}/pass_1/{i}": (60 + 60 * i, 117 + 60 * i) for uid in UIDS for i in range(2)}


def write_egohod(root: Path) -> Frames:
    """Beside Ego4D."""
    rows = [f"ego4d,{uid},1.0,4.0,the left hand picks up a bag" for uid in UIDS]
    _text(root / "ego_hod.csv", ["dataset,video_id,start_second,end_second,caption", *rows])
    return {f"{uid}/1.0-4.0": (30, 117) for uid in UIDS}


def write_holoassist(root: Path) -> Frames:
    sessions = ("R101- 2Aug-SmallPrinter", "z045-june-24-22-nespresso & co")
    said = {"Action Correctness": "Correct Action", "Incorrect Action Explanation": "none", "Verb": "pull_out"}
    said |= {"Incorrect Action Corrected by": "none", "Adjective": "big", "Noun": "battery", "adverbial": "none"}
    action = {"id": 0, "label": "Fine grained action", "start": 1.0, "end": 3.5, "type": "range", "attributes": said}
    about = [
        {"video_name": name, "taskId": 1, "taskType": "printer", "videoMetadata": {}, "events": [action]}
        for name in sessions
    ]
    _json(root / "data-annotation-trainval-v1_1.json", about)
    _text(root / "data-splits-v1_2" / "train-v1_2.txt", [name.replace(" ", "%20") for name in sessions])
    for name in sessions:
        counted_video.write(root / name / "Export_py" / "Video_pitchshift.mp4", 120, 30.0)
    return {f"{name}/Fine grained action/0": (30, 102) for name in sessions}


def write_hoi4d(root: Path) -> Frames:
    names = [f"ZY2021080000{i}/H{i}/C2/N19/S10{i}/s02/T1" for i in (1, 2)]
    _text(root / "release.txt", names)
    _text(root / "task_definitions.csv", ["Category ID,Category,T1,T2,T3,T4,T5,T6", "C2,Mug,Pick and place,,,N/A,,"])
    event = {"event": "Pickup", "startTime": 1.0, "endTime": 3.5}
    for name in names:
        counted_video.write(root / "HOI4D_release" / name / "align_rgb" / "image.mp4", 60, 15.0)
        actions = {"info": {"duration": 4}, "events": [event]}
        _json(root / "HOI4D_annotations" / name / "action" / "color.json", actions)
    return {f"{name}/0": (15, 51) for name in names}


def write_egopat3d(root: Path) -> Frames:
    names = ("1/bathroomCabinet_1", "5/kitchenCounter_2")
    for name in names:
        counted_video.write(root / "Dataset" / name / "rgb_video.mp4", 120, 30.0)
        _text(root / "Dataset" / name / "hand_frames" / "clip_ranges.txt", "1. 30, 104\n")
    return {f"{name}/1": (30, 102) for name in names}


def write_rh20t_human(root: Path) -> Frames:
    folder = rh20t_tree.write_root(root / "RH20T_cfg3")
    _json(folder / "task_description.json", {"task_0001": {"task_description_english": "Press the button."}})
    names = [rh20t_tree.SCENE, rh20t_tree.SCENE.replace("user_0016", "user_0017")]
    times = [rh20t_tree.START_MS + 100 * i for i in range(40)]
    for name in names:
        scene = folder / f"{name}_human"
        counted_video.write(scene / f"cam_{rh20t_tree.FRONT}" / "color.mp4", len(times), 25.0)
        rh20t_tree.write_stamps(scene, rh20t_tree.FRONT, times)
        rh20t_tree.write_metadata(scene, start_time=times[5], end_time=times[30])
    return {f"{name}_human": (5, 29) for name in names}


def write_ho_cap(root: Path) -> Frames:
    names = ("subject_1/20231025_165502", "subject_2/20231026_120000")
    for name in names:
        folder = root / name
        for i in range(75):
            path = folder / "hololens_kv5h72" / f"color_{i:06}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(simplejpeg.encode_jpeg(counted_video.picture(i), 90))
        meta = {"num_frames": 75, "object_ids": ["G01_1"], "mano_sides": ["right"], "task_id": 2}
        _text(folder / "meta.yaml", yaml.safe_dump(meta))
    return {f"{name}/hololens_kv5h72/0": (0, 72) for name in names}


def write_something_something(root: Path) -> Frames:
    for name in ("7", "42"):
        counted_video.write(root / ssv2.VIDEOS / f"{name}.webm", 36, 12.0, size=(240, 136), **VP9)
    ssv2.write_json(root, "train", [ssv2.entry("7")])
    ssv2.write_json(root, "validation", [ssv2.entry("42", "holding a cup")])
    return {"7": (0, 35), "42": (0, 35)}


def write_egodex(root: Path) -> Frames:
    for name, session in (("part1/jar/0", "s1"), ("part1/jar/1", "s2"), ("test/jar/0", "s3")):
        counted_video.write(path := root / f"{name}.mp4", 75, 30.0, **HEVC)
        with h5py.File(path.with_suffix(".hdf5"), "w") as file:
            file["transforms/camera"] = np.tile(np.eye(4, dtype=np.float32), (75, 1, 1))
            file["camera/intrinsic"] = np.array([[100, 0, 64], [0, 100, 48], [0, 0, 1]], np.float32)
            file.attrs.update({"llm_type": "single", "llm_description": "open the jar", "session_name": session})
    return dict.fromkeys(("part1/jar/0", "part1/jar/1", "test/jar/0"), (0, 72))


def write_egocentric_10k(root: Path) -> Frames:
    frames: Frames = {}
    for k in (1, 2):
        stem = f"factory00{k}_worker003"
        folder = root / f"factory_00{k}" / "workers" / "worker_003"
        lens = {"model": "fisheye", "image_width": 1920, "image_height": 1080, "fx": 1030.6, "fy": 1032.8}
        _json(folder / "intrinsics.json", lens)
        path = counted_video.write(folder / "aside.mp4", 75, 30.0, **HEVC)
        about = {"factory_id": f"factory_00{k}", "size_bytes": path.stat().st_size, "fps": 30.0, "codec": "h265"}
        with tarfile.open(folder / f"{stem}_part00.tar", "w") as archive:
            for suffix, data in ((".mp4", path.read_bytes()), (".json", json.dumps(about).encode())):
                member = tarfile.TarInfo(f"{stem}_00000{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        path.unlink()
        frames[f"factory_00{k}/worker_003/{stem}_00000/0"] = (0, 72)
    return frames


def write_folder(root: Path) -> Frames:
    counted_video.write(root / "kitchen" / "my cup & co.webm", 120, 30.0, **VP9)
    counted_video.write(root / "b%20c.mp4", 120, 30.0)
    rows = ["kitchen/my cup & co.webm;1;3.5;lift it;me", "b%20c.mp4;1;3.5;turn it;you"]
    _text(root / "clips.csv", ["path;start;end;text;group", *rows])
    return {"kitchen/my cup & co.webm@1-3.5": (30, 102), "b%20c.mp4@1-3.5": (30, 102)}


WRITERS: dict[str, tuple[str, Callable[[Path], Frames]]] = {
    "ego4d": ("ego4d", write_ego4d),
    "egohod": ("ego4d", write_egohod),
    "egopat3d": ("egopat3d", write_egopat3d),
    "egtea": ("egtea", write_egtea),
    "epic_kitchens": ("epic_kitchens", write_epic_kitchens),
    "ho_cap": ("ho_cap", write_ho_cap),
    "hoi4d": ("hoi4d", write_hoi4d),
    "holoassist": ("holoassist", write_holoassist),
    "rh20t_human": ("rh20t", write_rh20t_human),
    "something_something": ("something_something", write_something_something),
    "egodex": ("egodex", write_egodex),
    "egocentric_10k": ("egocentric_10k", write_egocentric_10k),
    "video/folder": ("videos", write_folder),
}
"""By source: the folder that the plan `villa-x` has it in, and what writes it there."""


def write_all(data: Path) -> dict[str, Frames]:
    """Write every dataset below one folder; the frames of each source's clips."""
    return {source: write(data / folder) for source, (folder, write) in WRITERS.items()}
