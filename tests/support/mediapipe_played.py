"""A package called mediapipe that sees a hand where a picture is bright, at a place that tells the picture."""

import zipfile
from pathlib import Path

import pytest

from pipelines.curate.hands.detector import PARTS

FAKE = """
from types import SimpleNamespace

ImageFormat = SimpleNamespace(SRGB=1)


class Image:
    def __init__(self, image_format, data):
        assert data.dtype == "uint8" and data.ndim == 3
        self.data = data
"""
FAKE_TASKS = """
from types import SimpleNamespace

vision = SimpleNamespace(RunningMode=SimpleNamespace(VIDEO="video"))


def BaseOptions(model_asset_path):
    return model_asset_path


def HandLandmarkerOptions(base_options, num_hands, running_mode):
    return (num_hands, running_mode)


class HandLandmarker:
    @classmethod
    def create_from_options(cls, options):
        assert options == (2, "video")
        made = cls()
        made.before = -1
        return made

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def detect_for_video(self, image, time_ms):
        assert time_ms > self.before
        self.before = time_ms
        bright = float(image.data.mean()) / 255
        if bright < 0.1:
            return SimpleNamespace(handedness=[], hand_landmarks=[])
        print("chatter")
        points = [SimpleNamespace(x=bright, y=i / 21, z=0.0) for i in range(21)]
        side = SimpleNamespace(category_name="Right", score=0.75)
        return SimpleNamespace(handedness=[[side]], hand_landmarks=[points])


vision.HandLandmarker, vision.HandLandmarkerOptions = HandLandmarker, HandLandmarkerOptions
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = "1.2.3") -> None:
    for name, code in {"mediapipe": FAKE, "mediapipe/tasks": "", "mediapipe/tasks/python": FAKE_TASKS}.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(code)
    (folder / f"mediapipe-{version}.dist-info").mkdir()
    (folder / f"mediapipe-{version}.dist-info" / "METADATA").write_text(f"Name: mediapipe\nVersion: {version}\n")
    monkeypatch.syspath_prepend(folder)


def bundle(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "hand_landmarker.task", "w") as file:
        for name in PARTS:
            file.writestr(name, b"weights")
    return folder / "hand_landmarker.task"
