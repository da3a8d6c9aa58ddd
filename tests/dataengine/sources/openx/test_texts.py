"""What RLDS datasets say at each of their steps; written by tfds, read by a mapping and by sources of their own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataengine import catalog, texts
from dataengine.episode import Episode, Text
from dataengine.errors import RecordError
from dataengine.sources.openx._texts import texts_of
from dataengine.sources.openx.language_table import LanguageTable
from tests.support.rlds_writer import write

STEPS = 8
MAPPING = """\
name: speech
embodiment: speech_arm
control_hz: 5
cameras: {{primary: observation/image}}
instruction: {keys}
action_encoding: eef_delta
action: [{{key: action}}]
first_step: {first}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tensorflow_datasets as tfds

    f = tfds.features
    features = f.FeaturesDict(
        {
            "goal": f.Text(),
            "steps": f.Dataset(
                {
                    "observation": f.FeaturesDict({"image": f.Image(shape=(16, 16, 3), encoding_format="png")}),
                    "action": f.Tensor(shape=(7,), dtype=np.float32),
                    **{name: f.Text() for name in ("each", "once", "latin", "parts")},
                    "ways": f.Tensor(shape=(3,), dtype=np.str_),
                    "some": f.Sequence(f.Text()),
                    **dict.fromkeys(("is_first", "is_last", "is_terminal"), np.bool_),
                }
            ),
        }
    )
    steps = [
        {
            "observation": {"image": np.full((16, 16, 3), 8 * k, np.uint8)},
            "action": np.full(7, k, np.float32),
            "each": f"do step {k}",
            "once": "tidy up" if k == 0 else "",
            "latin": b"put the caf\xe9 cup down" if k == 3 else b"put it down",
            "parts": "reach" if k < 3 else "" if k < 5 else "lift",
            "ways": [f"go {k // 4}", f"walk {k // 4}", f"run {k // 4}"],
            "some": [f"say {k}"] * (k % 3),
            **{"is_first": k == 0, "is_last": k == STEPS - 1, "is_terminal": k == STEPS - 1},
        }
        for k in range(STEPS)
    ]
    folder = tmp_path_factory.mktemp("speech")
    return write(folder, "speech", features, {"train": [{"goal": "clear the table", "steps": steps}]})


def read(root: Path, tmp_path: Path, *keys: str, first: int = 0) -> Episode:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(MAPPING.format(keys=list(keys), first=first))
    source = catalog.source("openx/auto")(str(root), mapping=str(mapping))
    (episode,) = [outcome for part in source.parts() for outcome in source.read(part)]
    assert isinstance(episode, Episode), episode
    return episode


def test_a_text_of_every_step_holds_at_that_step_also_behind_steps_left_out(root: Path, tmp_path: Path) -> None:
    for first in (0, 3):
        episode = read(root, tmp_path, "each", first=first)
        assert [texts.said_at(episode.texts, k) for k in range(episode.num_steps)] == [
            f"do step {k}" for k in range(first, STEPS)
        ]


def test_several_texts_of_a_step_are_paraphrases(root: Path, tmp_path: Path) -> None:
    assert read(root, tmp_path, "ways").texts == (
        Text(0, 4, ("go 0", "walk 0", "run 0")),
        Text(4, 8, ("go 1", "walk 1", "run 1")),
    )
    assert [(t.start, t.end, *t.phrases) for t in read(root, tmp_path, "some").texts] == [
        (k, k + 1, f"say {k}") for k in range(STEPS) if k % 3
    ]


def test_the_only_text_of_an_episode_holds_for_all_of_it_and_one_of_several_where_it_is_said(
    root: Path, tmp_path: Path
) -> None:
    assert read(root, tmp_path, "once").texts == (Text(0, 8, ("tidy up",)),)
    assert read(root, tmp_path, "parts").texts == (Text(0, 3, ("reach",)), Text(5, 8, ("lift",)))


def test_a_text_beside_the_steps_holds_for_all_of_them(root: Path, tmp_path: Path) -> None:
    episode = read(root, tmp_path, "goal", "parts")
    assert episode.texts == (Text(0, 8, ("clear the table",)), Text(0, 3, ("reach",)), Text(5, 8, ("lift",)))
    assert {texts.said_at(episode.texts, k) for k in (3, 4)} == {"clear the table"}


def test_a_text_that_is_not_utf8_costs_itself_and_is_noted(root: Path, tmp_path: Path) -> None:
    episode = read(root, tmp_path, "latin")
    assert episode.texts == (Text(0, 3, ("put it down",)), Text(4, 8, ("put it down",)))
    assert episode.notes["texts_lost"] == "a text that is not UTF-8 at 1 steps, the first is 3"


def test_what_is_no_text_is_noted(root: Path) -> None:
    said, notes = texts_of([None, 7], [[np.arange(2)] * 3, [["a"], [["b"], "c"], []]], range(3))
    assert said == (Text(0, 1, ("a",)), Text(1, 2, ("b", "c")))
    lost = "of the episode: int instead of a text; int64 instead of a text at 3 steps, the first is 0"
    assert notes == {"texts_lost": lost}
    with pytest.raises(RecordError, match="found texts of 2 steps, expected those of 3"):
        texts_of([], [["a", "b"]], range(3))


def test_spelt_instructions_hold_until_they_change_and_a_damaged_one_is_lost() -> None:
    def spelt(*said: bytes) -> Any:
        return {"observation": {"instruction": np.array([list(text.ljust(512, b"\0")) for text in said])}}

    source = LanguageTable("nowhere")
    spans, notes = texts_of([], [source.instructions(spelt(b"a", b"a", b"caf\xe9", b"b"))], range(4))
    assert spans == (Text(0, 2, ("a",)), Text(3, 4, ("b",)))
    assert notes == {"texts_lost": "a text that is not UTF-8 at 1 steps, the first is 2"}
