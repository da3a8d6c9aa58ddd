"""Rules for video of people: clips in which only the head moves, and texts that are about no thing."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from dataengine.curation.film import Film
from dataengine.curation.stages.drop_camera_motion import DropCameraMotion
from dataengine.curation.stages.drop_no_manipulation import DropNoManipulation, forms
from dataengine.episode import Cut
from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.texts import whole_episode
from pipelines.curate import CurateConfig, run
from pipelines.curate.recipe import load_recipe
from tests.support.corpora import make_corpus
from tests.support.recordings import clip, texture

SIDE = 128


def filmed(seed, *, shift=0.0, turn=0.0, zoom=0.0, hand=0):
    """A clip by a camera that pans (shares of the side), turns (rad) and zooms frame by frame, perhaps with a hand."""
    draw, world, thing = np.random.default_rng(seed), texture(seed, 512), texture(seed + 999, 40)
    heading, middle = draw.uniform(0, 2 * np.pi), np.full(2, (SIDE - 1) / 2)
    pictures = []
    for t in range(30):
        matrix = (1 + zoom * t) * np.array(
            [[np.cos(turn * t), -np.sin(turn * t)], [np.sin(turn * t), np.cos(turn * t)]]
        )
        centre = 256 + shift * SIDE * (t - 15) * np.array([np.sin(heading), np.cos(heading)])
        seen = ndimage.affine_transform(world, matrix, centre - matrix @ middle, (SIDE, SIDE), order=1, mode="reflect")
        if hand:
            y, x = int(44 + 30 * np.sin(t / 3)), int(44 + 30 * np.cos(t / 4))
            seen[y : y + hand, x : x + hand] = 255 - thing[:hand, :hand]
        grey = np.clip(seen + draw.normal(size=seen.shape) * 2, 0, 255).astype(np.uint8)
        pictures.append(np.repeat(grey[..., None], 3, axis=-1))
    return clip(f"clip {seed}", pictures=np.stack(pictures))


def verdict(episode, stage=None):
    stage = stage or DropCameraMotion()
    return stage.reject(stage.look(Film.of(episode)))


@pytest.mark.parametrize(
    "motion", [{"shift": 0.03}, {"shift": 0.1}, {"turn": 0.06}, {"shift": 0.04, "turn": 0.03, "zoom": 0.01}], ids=str
)
def test_a_head_that_looks_around_shows_nothing_that_somebody_does(motion):
    for seed in range(3):
        assert "the picture moves as a whole" in verdict(filmed(seed, **motion))


@pytest.mark.parametrize(
    "motion", [{"hand": 28}, {"shift": 0.04, "hand": 28}, {"shift": 0.06, "turn": 0.02, "hand": 40}, {}], ids=str
)
def test_a_hand_at_work_is_seen_though_the_head_moves(motion):
    for seed in range(3):
        assert verdict(filmed(seed, **motion)) is None


def test_the_shift_is_measured_in_shares_of_the_picture():
    numbers = DropCameraMotion().look(Film.of(filmed(1, shift=0.06)))
    assert numbers["camera_motion"] == pytest.approx(0.06, abs=0.004)
    assert numbers["own_motion"] < 0.1


def test_a_clip_of_one_picture_is_not_judged():
    single = clip("one", pictures=np.zeros((1, SIDE, SIDE, 3), np.uint8))
    assert all(np.isnan(value) for value in DropCameraMotion().look(Film.of(single)).values())
    assert verdict(single) is None


@pytest.mark.parametrize(
    ("verb", "spelt"),
    [("take", "taking takes"), ("cut", "cutting cuts"), ("carry", "carries carried"), ("wash", "washes washed")],
)
def test_verbs_are_known_in_their_forms(verb, spelt):
    assert set(spelt.split()) <= forms(verb)


def test_texts_without_a_verb_of_the_recipe_go_and_clips_without_text_stay(tmp_path):
    said = {
        "picks": ["picks a bag of clothes"],
        "walks": ["walks around the room"],
        "second": ["looks around", "cutting the bread"],
        "none": [],
    }
    clips = [replace(clip(name, num_frames=4), texts=whole_episode(texts, 4)) for name, texts in said.items()]
    corpus = make_corpus(tmp_path / "corpus", {"a": clips})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("drop_no_manipulation: {verbs: [pick, cut]}\n")
    (rule,) = run(CurateConfig(corpus=corpus.uri, recipe=str(recipe))).rules
    assert (rule.checked, rule.not_checked, rule.dropped) == (3, 1, 1)
    assert "no verb of handling things in: walks around the room" in rule.example


@pytest.mark.parametrize("verbs", ["pick", "3", "[1, 2]"])
def test_verbs_that_are_no_list_of_words_are_refused(tmp_path, verbs):
    (tmp_path / "recipe.yaml").write_text(f"drop_no_manipulation: {{verbs: {verbs}}}\n")
    with pytest.raises(DataEngineError, match=r"drop_no_manipulation\.verbs is .*, expected a list of words"):
        load_recipe(str(tmp_path / "recipe.yaml"))


def test_the_shipped_list_knows_the_verbs_of_what_people_do():
    stage = load_recipe("villa-x")["drop_no_manipulation"]
    assert isinstance(stage, DropNoManipulation)
    assert {"take", "put", "open", "cut", "pour", "screw", "pickup"} <= set(stage.verbs)
    assert not {"look", "walk", "talk", "wait", "smell"} & set(stage.verbs)


def labelled(name, video, start, end, text="cuts bread", split="train"):
    cut = Cut(
        video=video, split_group=video, label_start_s=start, label_end_s=end, clip_start_s=start, clip_end_s=end + 1
    )
    return replace(clip(name, num_frames=4), cut=cut, split=split, texts=whole_episode([text], 4))


def test_of_labels_that_lie_over_one_another_one_stays(tmp_path):
    first = [
        labelled("a", "v", 1.0, 2.0),
        labelled("b", "v", 1.2, 2.2, "cuts the bread"),  # two thirds in common with a, and the longer text
        labelled("c", "v", 1.6, 2.6),  # a third in common with a, 43 % with b
        labelled("d", "w", 1.0, 2.0),
        labelled("e", "v", 5.0, 6.0, "a longer text", split="val"),
        labelled("f", "v", 5.0, 6.0),
        clip("no video"),
    ]
    second = [replace(labelled("g", "w", 1.1, 2.0, "x"), dataset="other")]
    corpus = make_corpus(tmp_path / "corpus", {"a": first, "b": second})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("drop_overlapping_clips: {}\n")
    (rule,) = run(CurateConfig(corpus=corpus.uri, recipe=str(recipe))).rules
    assert (rule.checked, rule.not_checked, rule.dropped) == (7, 1, 3)
    kept = Corpus.open(corpus.uri)
    names = [kept.episode(info.episode_id).column("source_record") for info in kept.kept().episodes()]
    assert sorted(names) == ["b", "c", "d", "f", "no video"]
