"""`villa hands` says in a line what it lacks."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.support.corpora import human_clip, make_corpus
from tests.support.mediapipe_played import bundle, install


def test_what_is_missing_is_said_in_a_line(villa: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = make_corpus(tmp_path / "corpus", {"a": [human_clip("c")]})
    if importlib.util.find_spec("mediapipe") is None:
        said = villa("hands", corpus.uri, "--model", bundle(tmp_path))
        assert (said.code, "pip install 'villa-engine[hands]'" in said.line) == (2, True)
    install(tmp_path / "packages", monkeypatch)
    assert "no such file; download hand_landmarker.task" in villa("hands", corpus.uri, "--model", "none.task").line
    (tmp_path / "other.task").write_bytes(b"something else")
    assert "found no hand_detector.tflite" in villa("hands", corpus.uri, "--model", tmp_path / "other.task").line
    install(tmp_path / "old", monkeypatch, "0.10.14")
    assert "found mediapipe 0.10.14, expected 1.0" in villa("hands", corpus.uri, "--model", bundle(tmp_path)).line
