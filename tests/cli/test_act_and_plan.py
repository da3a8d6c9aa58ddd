"""One prediction from the command line, and a plan in any picture."""

import json

import av
import numpy as np
import pytest
from PIL import Image

from dataengine.formats import jpeg
from dataengine.store import Corpus
from models.fingerprint import fingerprint
from models.lam import Lam
from models.weights import save_model
from models.world import World
from pipelines.evaluation.policy import ActPolicy
from pipelines.serving.observation import Request
from tests.support.corpora import make_corpus, robot_episode
from tests.support.policies import save_policy
from tests.support.shapes import lam_shape, world_shape

STATE = [0.1, 0.0, -0.2, 0.0, 0.0, 0.0, 1.0]


@pytest.fixture
def policy(tmp_path):
    return save_policy(tmp_path / "act")


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture
def picture(tmp_path):
    view = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(view).save(tmp_path / "view.png")
    return tmp_path / "view.png"


def given(picture, **changes):
    options = {"image": picture, "state": ",".join(map(str, STATE)), "instruction": "close the jar", **changes}
    return [word for key, value in options.items() if value is not None for word in (f"--{key}", value)]


def test_a_policy_acts_on_a_picture_a_state_and_words(villa, policy, picture):
    said = villa("act", policy, *given(picture), "--json")
    assert said.code == 0, said.err
    request = Request(
        image=jpeg.decode(picture.read_bytes()),
        wrist=None,
        state=np.float32(STATE),
        embodiment="arm7_jaw",
        instruction="close the jar",
    )
    np.testing.assert_allclose(said.report["actions"], ActPolicy.load(policy).act(request, request.instruction))
    assert said.report["names"][:2] == ["x", "y"]
    half = villa("act", policy, *given(picture), "--precision", "bf16", "--json").report["actions"]
    assert half != said.report["actions"]
    np.testing.assert_allclose(half, said.report["actions"], atol=0.05)
    text = villa("act", policy, *given(picture)).out
    assert "x (metres)" in text
    assert "arm7_jaw, 4 actions at 10 Hz" in text
    assert "warning" not in text
    odd = villa("act", policy, *given(picture, state="0.1,0,-200,0,0,0,1")).out
    assert "warning: state z is -200, training saw" in odd


def test_a_policy_acts_at_a_step_of_an_episode_beside_what_was_done(villa, tmp_path):
    episode = robot_episode("a0", dataset="shelves", embodiment="arm7_jaw", num_steps=10)
    corpus = make_corpus(tmp_path / "corpus", {"a": [episode]}).uri
    policy = save_policy(tmp_path / "act")
    said = villa("act", policy, "--corpus", f"{corpus}@", "--step", 7, "--json")
    assert said.code == 2
    (episode_id,) = Corpus.open(corpus).episode_ids()
    said = villa("act", policy, "--corpus", f"{corpus}@{episode_id[:9]}", "--step", 7, "--json")
    assert said.code == 0, said.err
    np.testing.assert_allclose(said.report["recorded"], episode.action[7:])
    text = villa("act", policy, "--corpus", f"{corpus}@{episode_id}", "--step", 7).out
    assert "mean distance from what was recorded: x " in text
    late = villa("act", policy, "--corpus", f"{corpus}@{episode_id}", "--step", 10)
    assert (late.code, "has 10 steps, found --step 10" in late.line) == (2, True)


def test_another_robot_takes_the_pictures_of_an_episode_but_neither_its_state_nor_its_actions(villa, tmp_path):
    episode = robot_episode("a0", dataset="shelves", embodiment="arm7_jaw", num_steps=10)
    corpus = make_corpus(tmp_path / "corpus", {"a": [episode]})
    policy = save_policy(tmp_path / "act", robots=("arm7_jaw", "other"))
    argv = ("act", policy, "--corpus", f"{corpus.uri}@{corpus.episode_ids()[0]}", "--embodiment", "other")
    assert "observation has no state, expected (7,) of 'other'" in villa(*argv).line
    said = villa(*argv, "--state", ",".join(map(str, STATE)), "--json")
    assert (said.code, said.report["embodiment"], said.report["recorded"]) == (0, "other", [])


def test_a_policy_of_several_robots_asks_which_one_acts(villa, picture, tmp_path):
    policy = save_policy(tmp_path / "act", robots=("arm7_jaw", "other"))
    said = villa("act", policy, *given(picture))
    assert (said.code, said.line) == (2, f"villa act: {policy}: knows arm7_jaw, other; say which by --embodiment")


def test_the_folder_of_several_models_names_those_that_fit(villa, planner, picture, tmp_path):
    runs = tmp_path / "runs"
    first, second = save_policy(runs / "first"), save_policy(runs / "second")
    (runs / "broken").mkdir()
    (runs / "broken" / "model_config.json").write_text("[")
    said = villa("act", runs, *given(picture))
    assert said.line == f"villa act: {runs}: no policy there, but in {first}, {second}: give one of them"
    (runs / "broken" / "model_config.json").write_text("{}")
    options = ["--image", picture, "--instruction", "close", "--out", tmp_path / "out"]
    said = villa("plan", planner[0], "--lam", runs, *options)
    assert f"give a model that lies in it: {runs / 'broken'}, {first}, {second}" in said.line


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 4}, "step is one of a recorded episode"),
        ({"image": None}, "observation has no image"),
        ({"image": "nowhere.png"}, "villa act: nowhere.png is missing; give a JPEG or PNG"),
        ({"image": "pictures/nowhere.png"}, "villa act: pictures/nowhere.png is missing; give a JPEG or PNG"),
        ({"state": "0,1"}, "state has 2 values, expected 7 of 'arm7_jaw'"),
        ({"state": "a,b"}, "setting 'state"),
        ({"state": None}, "observation has no state"),
        ({"instruction": None}, "observation has no instruction"),
        ({"embodiment": "drone"}, "does not know embodiment 'drone'"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_one_line(villa, policy, picture, changes, message):
    said = villa("act", policy, *given(picture, **changes))
    assert said.code == 2
    assert message in said.line


def test_a_picture_that_a_policy_would_not_read_is_refused(villa, policy, picture, tmp_path):
    said = villa("act", policy, *given(picture, wrist=picture))
    assert (said.code, said.line) == (
        2,
        f"villa act: {policy}: reads no wrist camera, found --wrist {picture}; leave it out",
    )
    seeing = save_policy(tmp_path / "seeing", wrist=True)
    assert villa("act", seeing, *given(picture, wrist=picture)).code == 0


def stated(policy):
    return json.loads((policy / "model_config.json").read_text())


def state_anew(policy, about):
    (policy / "model_config.json").write_text(json.dumps(about))


def test_a_policy_whose_folder_is_not_whole_is_one_line_that_names_what_is_missing(villa, policy, picture):
    about = stated(policy)
    for missing, message in (("statistics", "has no statistics"), ("bodies", "names no embodiments")):
        state_anew(policy, {key: value for key, value in about.items() if key != missing})
        assert f"model_config.json {message}; copy it again" in villa("act", policy, *given(picture)).line
    state_anew(policy, {**about, "bodies": {}})
    assert "was trained on people alone, and knows no robot" in villa("act", policy, *given(picture)).line
    state_anew(policy, about)
    (policy / "tokenizer.json").unlink()
    assert "has no tokenizer.json; copy it again" in villa("act", policy, *given(picture)).line


@pytest.fixture
def planner(tmp_path):
    """A policy, the latent action model that it plans for, and a world model of the same latent actions."""
    lam = Lam(lam_shape("tiny"))
    save_model(lam, tmp_path / "lam")
    latent = {"name": "lam", "fingerprint": fingerprint(tmp_path / "lam"), "k": 1, "d": 1, "interval_s": 0.3}
    shape = {"codes_per_latent": lam.config.num_slots, "latent_dim": lam.config.latent_dim}
    policy = save_policy(tmp_path / "planner", latent=latent, **shape)
    sizes = {"num_slots": lam.config.num_slots, "latent_dim": lam.config.latent_dim}
    save_model(World(world_shape("tiny", **sizes)), tmp_path / "world", {"latent": latent})
    return policy, tmp_path / "lam", tmp_path / "world"


@pytest.mark.parametrize("by_world", [False, True])
def test_a_plan_is_drawn_from_any_picture(villa, planner, picture, tmp_path, by_world):
    policy, lam, world = planner
    options = ["--lam", lam, *(["--world", world] if by_world else []), "--out", tmp_path / "plan", "--json"]
    said = villa("plan", policy, "--image", picture, "--instruction", "close the jar", *options)
    assert said.code == 0, said.err
    steps = len(said.report["codes"])
    assert len(said.report["frames"]) == steps + 1
    sizes = {size_of(tmp_path / "plan" / f"frame_{i:02d}.png") for i in range(steps + 1)}
    assert len(sizes) == 1
    assert size_of(said.report["strip"])[0] > steps * sizes.pop()[0]
    with av.open(said.report["video"]) as video:
        assert sum(1 for _ in video.decode(video=0)) == 3 * (steps + 1)  # 0.3 s each, at 10 Hz
    assert said.report["predicted_by"] == str(world if by_world else lam)


def test_a_plan_by_models_that_do_not_belong_together_is_refused(villa, planner, policy, picture, tmp_path):
    planned, lam, _ = planner
    options = ("--image", picture, "--instruction", "close the jar", "--out", tmp_path / "plan")
    save_model(Lam(lam_shape("tiny", num_slots=2, latent_dim=5)), tmp_path / "other")
    assert "give the model that wrote them" in villa("plan", planned, "--lam", tmp_path / "other", *options).line
    stated = {"latent": {"fingerprint": "another"}}
    save_model(World(world_shape("tiny", num_slots=1, latent_dim=4)), tmp_path / "else", stated)
    refused = villa("plan", planned, "--lam", lam, "--world", tmp_path / "else", *options)
    assert "give a world model that was trained on the same labels" in refused.line
    empty = villa("plan", planned, "--lam", lam, "--image", picture, "--instruction", " ")
    assert "--instruction is empty" in empty.line
    assert "has fingerprint" in villa("plan", planned, "--lam", policy, *options).line
    absent = villa("plan", planned, "--lam", tmp_path / "none", *options).line
    assert f"{tmp_path / 'none'}: no model_config.json; expected a directory that `villa train` wrote" in absent
    assert "holds a policy, expected a latent action model" in villa("plan", policy, "--lam", policy, *options).line
    assert "give the model that wrote them" in villa("plan", policy, "--lam", tmp_path / "other", *options).line
