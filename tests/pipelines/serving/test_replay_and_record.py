"""A recorded episode is served as it was recorded, and a session is a dataset that ingest reads."""

import json

import numpy as np
import pytest
from openpi_client.websocket_client_policy import WebsocketClientPolicy

from dataengine import catalog
from dataengine.store import Corpus
from tests.support.corpora import make_corpus, robot_episode
from tests.support.served import Server, observation
from tests.support.warm import run

PICTURE = np.full((48, 48, 3), 90, np.uint8)


def villa(*argv):
    done = run(*argv)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    episodes = [robot_episode(f"a{i}", dataset="shelves", embodiment="arm", num_steps=10) for i in range(2)]
    made = make_corpus(tmp_path_factory.mktemp("replay") / "corpus", {"a": episodes})
    villa("stats", made.uri)
    return made.uri


def recorded(corpus):
    table = Corpus.open(corpus).table(["episode_id", "action", "action_dim", "state", "state_dim", "action_encoding"])
    row = table.to_pylist()[0]
    return row, np.array(row["action"], np.float32).reshape(-1, row["action_dim"])


def seen_by(row, **more):
    return {"image": PICTURE, "state": np.zeros(row["state_dim"]), "prompt": "go", **more}


def test_an_episode_is_replayed_step_by_step_and_then_stands_still(corpus):
    row, actions = recorded(corpus)
    with Server("--replay", f"{corpus}@{row['episode_id'][:12]}", "--action-steps", 4) as server:
        client = WebsocketClientPolicy("127.0.0.1", server.port)
        about = client.get_server_metadata()
        played = np.concatenate([client.infer(seen_by(row))["actions"] for _ in range(4)])
        with pytest.raises(RuntimeError, match="state has 1 values"):
            client.infer(seen_by(row) | {"state": np.zeros(1)})
        for key, asked in (("plan", True), ("rtc", {"inference_delay": 1})):
            with pytest.raises(RuntimeError, match=f"'{key}' was asked for, which is of policies"):
                client.infer(seen_by(row, **{key: asked}))
        again = client.infer(seen_by(row, reset=True))["actions"]
        for true in (1, np.bool_(True)):
            np.testing.assert_array_equal(client.infer(seen_by(row, reset=true))["actions"], actions[:4])
        np.testing.assert_array_equal(client.infer(seen_by(row, session_id="a"))["actions"], actions[4:8])
        np.testing.assert_array_equal(client.infer(seen_by(row, session_id="b"))["actions"], actions[:4])
    assert about["replay"]["steps"] == len(actions)
    np.testing.assert_array_equal(played[: len(actions)], actions)
    moves = about["action_moves"]
    assert moves is not None
    np.testing.assert_array_equal(played[len(actions) :, moves], 0)
    others = [i for i in range(actions.shape[1]) if i not in moves]
    np.testing.assert_array_equal(played[-1, others], actions[-1, others])
    np.testing.assert_array_equal(again, actions[:4])


@pytest.mark.parametrize("steps", [1, 2])
def test_a_session_is_a_dataset_of_what_was_seen_and_done(policy, tmp_path, steps):
    out = tmp_path / "sessions"
    with Server(policy, "--record", out, "--action-steps", steps) as server:
        client = WebsocketClientPolicy("127.0.0.1", server.port)
        seen = [observation(i) for i in range(4)]
        said = [
            client.infer(one | ({"reset": True} if i == 3 else {}))["actions"][:steps] for i, one in enumerate(seen)
        ]
        code, report = server.stop()
    assert (code, report["recorded"]) == (0, str(out))
    source = catalog.source("lerobot")(str(out))
    (part,) = source.parts()
    first, second = source.read(part)
    assert (first.num_steps, second.num_steps) == (3, 1)
    assert (first.embodiment, tuple(first.instruction), source.control_hz) == (
        "arm7_jaw",
        ("close the jar",),
        10 / steps,
    )
    assert (first.state_encoding, first.action_encoding) == ("eef_pose", "eef_delta")
    np.testing.assert_allclose(first.state, np.float32([one["observation/state"] for one in seen[:3]]))
    motion = [chunk[:, :6].sum(axis=0) for chunk in said[:3]]
    np.testing.assert_allclose(first.action[:, :6], motion, atol=1e-6)
    np.testing.assert_allclose(first.action[:, 6], [chunk[-1, 6] for chunk in said[:3]], atol=1e-6)
    villa("ingest", "lerobot", out, "--corpus", tmp_path / "corpus")
    assert len(Corpus.open(str(tmp_path / "corpus"))) == 2


def test_a_recorded_session_keeps_its_cameras(corpus, tmp_path):
    """A dataset has a camera in all its rows or in none; an odd observation costs itself, not the episode."""
    row, actions = recorded(corpus)
    out = tmp_path / "sessions"
    with Server("--replay", f"{corpus}@{row['episode_id']}", "--record", out, "--action-steps", 1) as server:
        client = WebsocketClientPolicy("127.0.0.1", server.port)
        client.infer(seen_by(row, wrist=PICTURE))
        with pytest.raises(RuntimeError, match="those before have primary, wrist, found primary"):
            client.infer(seen_by(row))
        np.testing.assert_array_equal(client.infer(seen_by(row, wrist=PICTURE))["actions"], actions[1:2])
        server.stop()
    source = catalog.source("lerobot")(str(out))
    (part,) = source.parts()
    (episode,) = source.read(part)
    np.testing.assert_array_equal(episode.action, actions[:2])


def test_a_folder_with_files_in_it_is_not_recorded_to(policy, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    done = run("serve", policy, "--port", 0, "--record", tmp_path, "--json")
    assert done.returncode == 2
    assert "expected a new or empty folder to record to" in json.loads(done.stdout)["error"]
