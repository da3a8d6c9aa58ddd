"""Texts of many episodes come out as those of each by itself, whichever way they go."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dataengine import texts
from dataengine.schema import TEXTS
from dataengine.windows.episode_columns import spell
from dataengine.windows.said import spell_texts

STEPS = 9
PHRASES = ["open it", 'say "hello"', "back\\slash", "tab\there", "grün", "", "~ !#[]", "\x7f", "日本"]


def rows() -> list[list[dict[str, Any]] | None]:
    """Whole episodes, parts of them, none, several; of one phrase or of two."""
    draw = np.random.default_rng(0)
    made: list[list[dict[str, Any]] | None] = [None, []]
    for phrase in PHRASES:
        made += [[{"start": a, "end": b, "phrases": [phrase]}] for a, b in ((0, STEPS), (0, 4), (3, STEPS))]
    for _ in range(60):
        count = int(draw.integers(0, 3))
        made.append([{"start": 0, "end": STEPS, "phrases": draw.choice(PHRASES, draw.integers(1, 3)).tolist()}] * count)
    return made


@pytest.mark.parametrize("trimmed", [False, True])
def test_texts_are_spelt_as_one_by_one(trimmed: bool) -> None:
    said = rows()
    draw = np.random.default_rng(1)
    head, tail = draw.integers(0, 3, (2, len(said))) * trimmed
    steps = STEPS - head - tail
    old = [[f"old {i}"] for i in range(len(said))]
    columns = {"texts": pa.array(said, TEXTS), "instruction": pa.array(old, pa.list_(pa.string()))}
    table = pa.table({**columns, "num_steps": pa.array([STEPS] * len(said))})
    wanted = []
    for row, instruction, first, n in zip(said, old, head.tolist(), steps.tolist(), strict=True):
        whole = texts.from_row(row, instruction, STEPS)
        wanted.append(spell(texts.cut(whole, first, first + n) if n < STEPS else whole, n))
    assert spell_texts(table, head, steps).to_pylist() == wanted
    assert spell_texts(table[5:40], head[5:40], steps[5:40]).to_pylist() == wanted[5:40]
    assert spell_texts(table[:0], head[:0], steps[:0]).to_pylist() == []
    if not trimmed:
        of_old = table.drop_columns("texts")
        assert spell_texts(of_old, head, steps).to_pylist() == [
            spell(texts.from_row(None, o, STEPS), STEPS) for o in old
        ]
