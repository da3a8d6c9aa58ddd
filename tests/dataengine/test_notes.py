"""Which notes everybody must be told of, and how they add up."""

import pytest

from dataengine.notes import MAX_TEXTS, NoteTally, parsed, serious

WHOLE = {"kind": "robot", "has_state": True, "has_action": True, "has_instruction": True}


@pytest.mark.parametrize(
    ("key", "is_told"),
    [
        ("doubt", True),
        ("state_doubt", True),
        ("state_units_unknown", True),
        ("head_missing", True),
        ("missing_pose", True),
        ("action_absent", True),
        ("texts_lost", True),
        ("cameras_left_out", True),
        ("segments_bad", True),
        ("state_units", False),
        ("left_arm", False),
        ("badge", False),
        ("gripper_polarity", False),
    ],
)
def test_a_word_of_its_key_makes_a_note_serious(key, is_told):
    assert serious({key: "so"}, **WHOLE) == ({key: "so"} if is_told else {})


def test_what_an_episode_lacks_is_told_also_where_its_source_is_silent():
    nothing = {**WHOLE, "has_state": False, "has_action": False, "has_instruction": False}
    said = serious({"state_missing": "no column state"}, **nothing)
    assert said == {
        "state_missing": "no column state",
        "action_missing": "no action: it trains no policy",
        "instruction_missing": "no instruction",
    }
    clip = {**nothing, "kind": "human", "has_instruction": True}
    assert serious({}, **clip) == {}


def test_tallies_of_parts_add_up_and_texts_without_end_are_counted_as_others():
    whole, part = NoteTally(), NoteTally()
    part.add({"doubt": "a"}, 2)
    part.add({}, 3)
    for _ in range(2):
        whole.merge(part.counts, part.episodes)
    for i in range(2 * MAX_TEXTS):
        whole.add({"rows_lost": f"row {i}"})
    rows, doubt = whole.summed()
    assert (rows.key, rows.episodes, rows.of, rows.texts) == (
        "rows_lost",
        2 * MAX_TEXTS,
        10 + 2 * MAX_TEXTS,
        MAX_TEXTS + 1,
    )
    assert rows.text == "row 0"
    assert (doubt.text, doubt.episodes) == ("a", 4)
    assert doubt.line() == "doubt (4 of 410 episodes): a"


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (None, {}),
        ("", {}),
        ('{"doubt": "units", "count": 3}', {"doubt": "units"}),
        ("[1]", {}),
        ('{"doubt": "uni', {}),
    ],
)
def test_notes_of_a_row_are_read_and_damaged_ones_are_none(text, notes):
    assert parsed(text) == notes
