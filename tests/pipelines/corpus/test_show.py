"""What a person reads of an episode: short lines, what must be known first, values with their units."""

import dataclasses

from pipelines.corpus.show import ShowConfig, run
from tests.support.corpora import make_corpus, robot_episode

NOTES = {
    "cameras": "primary=observation.images.front wrist=observation.images.wrist",
    "state": "observation.state (eef_pose)",
    "units_unknown": "action: nobody says the unit",
    "columns_left_out": " ".join(f"observation.sensor_{i}" for i in range(90)),
    "state_names": "x,y,z,roll,pitch,yaw,jaw",
    "state_units": "millimetres,millimetres,millimetres,degrees,degrees,degrees,percent_open",
    "raw_state": ",".join(str(i) for i in range(60)),
}


def shown(tmp_path, notes):
    episode = dataclasses.replace(robot_episode("0"), notes=notes)
    uri = make_corpus(tmp_path / "corpus", {"a": [episode]}).uri
    return run(ShowConfig(corpus=uri, episode=episode.episode_id))


def test_notes_are_wrapped_and_what_must_be_known_comes_first(tmp_path):
    report = shown(tmp_path, NOTES)
    lines = report.summary().splitlines()
    assert max(map(len, lines)) <= 110
    must_know, notes = (
        next(i for i, line in enumerate(lines) if line.startswith(label)) for label in ("must", "notes")
    )
    first = [line for line in lines[must_know:notes] if not line[15:].startswith(" ")]
    assert [line[15:].partition(":")[0] for line in first] == ["columns_left_out", "units_unknown"]
    others = [line for line in lines[notes : lines.index("")] if not line[15:].startswith(" ")]
    assert [line[15:].partition(":")[0] for line in others] == ["raw_state", "state"]
    assert report.notes == NOTES


def test_a_long_note_is_cut_and_says_so(tmp_path):
    summary = " ".join(shown(tmp_path, NOTES).summary().split())
    assert "observation.sensor_0 observation.sensor_1" in summary
    assert "observation.sensor_89" not in summary
    assert "more letters (--json has them)" in summary


def test_values_stand_beside_their_units_and_not_among_the_notes(tmp_path):
    report = shown(tmp_path, NOTES)
    rows = [line.split() for line in report.summary().splitlines()]
    assert ["state", "2", "z", "millimetres"] in [row[:4] for row in rows]
    assert ["state", "6", "jaw", "percent_open"] in [row[:4] for row in rows]
    assert ["action", "0", "x", "unknown"] in [row[:4] for row in rows]  # as LeRobot wrote the notes, and none of units
    assert "state_units" not in report.summary()


def test_an_episode_without_notes_says_none(tmp_path):
    assert "notes          none" in shown(tmp_path, {}).summary().splitlines()
