"""Names of joints, cameras and robots on their way through the commands: from ingest to what is shown and exported."""

import json

import pytest

from dataengine.store import Corpus
from tests.support import lerobot_writer as lr

MOTORS = [f"{joint}.pos" for joint in ("shoulder, pan", "elbow flex", "gripper")]
FRONT, ELBOW = "observation.images.front", "observation.images.elbow"


@pytest.fixture
def lab(villa, tmp_path, monkeypatch):
    """A LeRobot dataset in a corpus; by its name its second camera would be nobody's guess for the wrist."""
    named = {key: {**about, "names": MOTORS} for key, about in lr.FEATURES.items()}
    monkeypatch.setattr(lr, "SIDES", {FRONT: (48, 64), ELBOW: (64, 48)})
    videos = dict.fromkeys(lr.SIDES, ((0, 1, 2),))
    lr.write_v3(tmp_path / "lab", video_files=videos, features=named, robot_type="so101_follower")
    options = ("--camera", f"primary={FRONT},wrist={ELBOW}", "--corpus", tmp_path / "corpus")
    assert villa("ingest", "lerobot", tmp_path / "lab", *options).code == 0
    return tmp_path


def declared(root):
    info = json.loads((root / "meta/info.json").read_text())
    cameras = {key for key, about in info["features"].items() if about["dtype"] == "video"}
    names = {key: info["features"][key]["names"] for key in ("observation.state", "action")}
    return {"robot_type": info["robot_type"], "fps": info["fps"], "cameras": cameras, "names": names}


def first_episode(corpus):
    opened = Corpus.open(str(corpus))
    return opened.episode(opened.episode_ids()[0])


def test_names_of_values_cameras_and_robot_come_back_from_a_corpus(villa, lab):
    name = "so101_follower_joint3_10hz"
    done = villa("export", "lerobot", lab / "corpus", lab / "once", "--codec", "h264")
    assert (done.code, "front elbow" in done.out) == (0, True)
    assert villa("ingest", "lerobot", lab / "once" / name, "--corpus", lab / "again").code == 0
    assert villa("export", "lerobot", lab / "again", lab / "twice", "--codec", "h264").code == 0
    assert declared(lab / "once" / name) == declared(lab / "twice" / name) == declared(lab / "lab")
    before, after = first_episode(lab / "corpus"), first_episode(lab / "again")
    assert (after.embodiment, after.cameras) == (before.embodiment, before.cameras)
    for column in ("state", "action"):
        assert after.layout(column) == before.layout(column)
        assert list(after.layout(column).names) == MOTORS


def test_an_episode_is_shown_with_its_publishers_names(villa, lab):
    episode_id = first_episode(lab / "corpus").episode_id
    said = villa("show", lab / "corpus", episode_id).out
    assert "front (primary) 48x64" in said
    assert "elbow (wrist) 64x48" in said
    report = villa("show", lab / "corpus", episode_id, "--json").report
    assert [each["name"] for each in report["ranges"]] == [*MOTORS, *MOTORS]
    assert report["camera_names"] == {"primary": "front", "wrist": "elbow"}
    assert villa("show", lab / "corpus", episode_id, "--out", lab / "strip.svg").code == 0
    drawn = (lab / "strip.svg").read_text()
    assert all(f"<!-- {word} -->" in drawn for word in ("front (primary)", "elbow (wrist)", *MOTORS))


def test_stats_name_the_values_that_they_doubt(villa, lab):
    done = villa("stats", lab / "corpus", "--json")
    state = next(group for group in done.report["groups"] if group["column"] == "state")
    assert state["names"] == MOTORS
    assert any("state dimension 2 (gripper.pos) goes from" in line for line in done.report["warnings"])


def test_the_page_of_curation_names_cameras_and_values(villa, lab):
    recipe = lab / "short.yaml"
    recipe.write_text("drop_short: {min_steps: 10}")
    assert villa("curate", lab / "corpus", "--recipe", recipe).code == 0
    page = (lab / "corpus.curation/index.html").read_text()
    assert "(camera front (primary))" in page
    assert all(name in page for name in MOTORS[:2])
