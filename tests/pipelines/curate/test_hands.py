"""Clips are judged by how long a hand is there, where the publisher tells of hands step by step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataengine.hands import Hand, Hands
from dataengine.hands.hands import HandSource
from pipelines.curate import CurateConfig, run
from tests.support.corpora import human_clip, make_corpus

STEPS = 20


def boxed(left: int, right: int, source: HandSource = "detector") -> Hands:
    """Make a left hand at the first steps, a right one at the last."""
    sides = {}
    for side, present in (("left", np.arange(STEPS) < left), ("right", np.arange(STEPS) >= STEPS - right)):
        box = np.where(present[:, None], 0.5, np.nan).repeat(4, axis=1).astype(np.float32)
        sides[side] = Hand(present=present, confidence=np.full(STEPS, np.nan, np.float32), box=box)
    return Hands(sides=sides, source=source, estimated=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hands", "reason"),
    [
        (boxed(3, 3), ""),
        (boxed(3, 2), "drop_no_hands: a hand is there at 25% of the steps, need 30%"),
        (boxed(5, 20), ""),
        (boxed(0, 0), "drop_no_hands: a hand is there at 0% of the steps, need 30%"),
        (boxed(1, 0, "annotators"), ""),
        (None, ""),
    ],
)
def test_a_clip_without_hands_is_dropped(tmp_path: Path, hands: Hands | None, reason: str) -> None:
    corpus = make_corpus(tmp_path / "corpus", {"a": [replace(human_clip("c", num_steps=STEPS), hands=hands)]})
    recipe = tmp_path / "rules.yaml"
    recipe.write_text("drop_no_hands: {}\n")
    report = run(CurateConfig(corpus=corpus.uri, recipe=str(recipe), page=False))
    corpus.refresh()
    assert report.dropped == bool(reason)
    assert (corpus.table(["reject_reason"])["reject_reason"][0].as_py() or "") == reason
