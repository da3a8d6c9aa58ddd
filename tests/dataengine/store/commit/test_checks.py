import re
from pathlib import Path

import numpy as np
import pytest

from dataengine.episode import CameraFrames, Episode, Part, Reject
from dataengine.store import Corpus, Staging, stage_part
from dataengine.store.commit.receipts import Receipt
from tests.support.npz_source import make_episode, make_jpeg

NAN = np.full((2, 7), np.nan, dtype=np.float32)
GOOD = make_jpeg(32, 48, 0)


def filmed(*jpegs: bytes) -> Episode:
    """An episode of two steps whose camera should give pictures of 32 by 48 pixels."""
    frames = CameraFrames(jpegs=jpegs, height=32, width=48, native_height=32, native_width=48)
    return make_episode(steps=2).__class__(**{**vars(make_episode(steps=2)), "cameras": {"primary": frames}})


def stage(tmp_path: Path, *records: Episode | Reject) -> Receipt:
    corpus = Corpus.create(tmp_path / "corpus")
    part = Part(dataset="npz", name="p", uri="p", num_bytes=1, fingerprint="f")
    staging = Staging(corpus=corpus.uri, run_id="r", dataset_ids={"npz": 1}, embodiment_ids={"arm": 1})
    return stage_part(part, records, staging)


@pytest.mark.parametrize(
    ("episode", "message"),
    [
        (make_episode(steps=0), "found no steps, expected at least 1"),
        (make_episode(steps=2, dataset="other"), "says dataset 'other', expected 'npz'"),
        (make_episode(steps=2, embodiment="octopus"), "embodiment 'octopus' is not among those"),
        (make_episode(steps=2, control_hz=0.0), "control_hz is 0.0, expected a positive rate"),
        (make_episode(steps=2, time_ns=np.array([5, 3])), "time_ns goes back at step 1"),
        (make_episode(steps=2, state=np.zeros((3, 7), np.float32)), r"state has shape \(3, 7\), expected \(2, d\)"),
        (make_episode(steps=2, action=np.zeros(2, np.float32)), r"action has shape \(2,\), expected \(2, d\)"),
        (make_episode(steps=2, state=np.zeros((2, 7))), "state is float64, expected float32"),
        (make_episode(steps=2, raw_state=np.zeros((2, 7), int)), "raw_state is int64, expected float32 or float64"),
        (make_episode(steps=2, raw_state_exact={4: np.zeros(2, int)}), r"raw_state has exact values 4 of int64 \(2,\)"),
        (make_episode(steps=2, raw_state=None, raw_state_exact={0: np.zeros(2, int)}), "raw_state is missing"),
        (make_episode(steps=2, action=NAN), "action is not finite at step 0"),
        (make_episode(steps=2, cameras=("nose",)), "camera slot 'nose' is unknown, expected one of primary"),
        (filmed(GOOD), "camera primary has 1 frames, expected 2"),
        (filmed(GOOD, b""), "frame 1 is no JPEG: starts with nothing"),
        (filmed(GOOD, b"\x89PNG rest"), "frame 1 is no JPEG: starts with 89504e47"),
        (filmed(GOOD, GOOD[:20]), "frame 1 is a damaged JPEG"),
        (filmed(GOOD, make_jpeg(48, 32, 0)), "frame 1 is 48x32, expected 32x48"),
    ],
)
def test_a_bad_episode_costs_itself_only(tmp_path: Path, episode: Episode, message: str) -> None:
    receipt = stage(tmp_path, make_episode("before"), episode, make_episode("after"))
    (reject,) = receipt.rejects
    assert receipt.num_episodes == 2
    assert reject.record == episode.source_record
    assert re.search(message, reject.reason)
    assert "\n" not in reject.reason


def test_a_record_that_comes_twice_is_kept_once(tmp_path: Path) -> None:
    receipt = stage(tmp_path, make_episode("a"), make_episode("a"))
    assert receipt.num_episodes == 1
    assert [r.reason for r in receipt.rejects] == ["record 'a' comes twice in its part"]


def test_a_part_of_bad_records_stages_nothing(tmp_path: Path) -> None:
    receipt = stage(tmp_path, make_episode(steps=0))
    assert receipt.fragments == ()
    assert len(receipt.rejects) == 1
