"""The protocol of vla-eval: its own command runs a benchmark against our server, and its Connection talks to it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import msgpack
import numpy as np
import pytest
import websockets.sync.client
import yaml
from vla_eval.connection import Connection

from pipelines.evaluation.policy import ActPolicy
from pipelines.serving.observation import Request
from tests.support.policies import save_policy
from tests.support.served import ROOT, Server
from tests.support.vla_bench import PICTURE

SEEN = {"images": {"primary": PICTURE}, "states": np.zeros(7, np.float32), "task_description": "close the jar"}


NUMBERS = {"__ndarray__": True, "data": bytes(16), "dtype": "<f8", "shape": [2]}


def chunk(policy):
    request = Request(image=PICTURE, wrist=None, state=np.zeros(7, np.float32), embodiment="arm7_jaw", instruction="")
    return ActPolicy.load(policy).act(request, "close the jar")


def run_benchmark(server, out, **params):
    config = {
        "server": {"url": f"ws://127.0.0.1:{server.port}/vla", "timeout": 60},
        "output_dir": str(out),
        "benchmarks": [
            {
                "benchmark": "tests.support.vla_bench:HandBenchmark",
                "name": "hand",
                "episodes_per_task": 2,
                "max_steps": 20,
                "params": params,
            }
        ],
    }
    out.mkdir()
    (out / "bench.yaml").write_text(yaml.safe_dump(config))
    command = [str(Path(sys.executable).parent / "vla-eval"), "run", "-c", str(out / "bench.yaml"), "--no-docker"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TAKEN": str(out / "taken.jsonl"), "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (summary,) = out.rglob("*aggregate.json")
    taken = out / "taken.jsonl"
    lines = taken.read_text().splitlines() if taken.exists() else []
    return json.loads(summary.read_text()), [json.loads(line) for line in lines], done.stdout + done.stderr


@pytest.mark.slow
def test_the_harness_runs_a_benchmark_and_gets_one_action_a_step(server, policy, tmp_path):
    result, taken, log = run_benchmark(server, tmp_path / "out")
    assert (result["num_errors"], result["mean_success"]) == (0, 1.0), result
    actions = chunk(policy)
    assert len(taken) == 2
    for episode in taken:  # six steps of chunks of four, each episode from a chunk's beginning
        np.testing.assert_allclose(episode, np.concatenate([actions, actions[:2]]), atol=1e-6)
    assert "Spec mismatch" not in log


@pytest.mark.slow
def test_an_observation_that_is_refused_fails_its_episode_with_our_words(server, tmp_path):
    result, _, log = run_benchmark(server, tmp_path / "out", text="")
    assert "instruction is empty" in json.dumps(result) + log


def talk(server, act, query=""):
    async def run():
        async with Connection(f"ws://127.0.0.1:{server.port}/vla{query}", timeout=60) as connection:
            return await act(connection)

    return asyncio.run(run())


def test_what_is_wrong_with_an_episode_start_is_the_answer_to_the_first_observation_only(server):
    async def act(connection):
        await connection.start_episode({"task": 3})
        with pytest.raises(RuntimeError, match="task of episode_start is a int"):
            await connection.act(SEEN)
        return await connection.act(SEEN)

    assert talk(server, act)["actions"].shape == (7,)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"payload": 3, "timestamp": 0.0}, "payload is a int, expected a map"),
        ({"payload": {}}, "message has no 'timestamp'"),
        ({"payload": {"task": [1]}, "timestamp": 0.0}, "task of episode_start is a list, expected a map"),
    ],
)
def test_an_episode_start_that_is_none_gets_no_answer_of_its_own(server, message, says):
    with websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/vla", proxy=None) as raw:
        for seq, one in enumerate([{"type": "hello", "payload": {}}, {"type": "episode_start", **message}]):
            raw.send(msgpack.packb({"timestamp": 0.0, **one, "seq": seq} if seq == 0 else {**one, "seq": seq}))
        assert msgpack.unpackb(raw.recv())["type"] == "hello"
        raw.send(msgpack.packb({"type": "observation", "payload": {}, "seq": 2, "timestamp": 0.0}))
        answer = msgpack.unpackb(raw.recv())
        assert (answer["seq"], says in answer["payload"]["error"]) == (2, True), answer


def test_the_greeting_says_what_the_actions_are(server):
    async def act(connection):
        return connection.server_info

    greeting = talk(server, act)
    assert {key: (one["dims"], one["format"]) for key, one in greeting["action_spec"].items()} == {
        "position": (3, "delta_xyz"),
        "rotation": (3, "euler_xyz"),
        "gripper": (1, "continuous_01"),
    }
    assert greeting["observation_params"] == {"send_wrist_image": False, "send_state": True}


def test_a_benchmark_names_its_robot_in_the_address_and_gets_its_plan_with_a_new_chunk(tmp_path):
    folder = save_policy(tmp_path / "act", robots=("arm7_jaw", "left_arm"))

    async def act(connection):
        await connection.start_episode({"task": {}})
        return [await connection.act({**SEEN, "plan": 1}) for _ in range(2)]

    with Server(folder, "--action-steps", 2) as server:
        with pytest.raises(RuntimeError, match="names no embodiment, expected one of arm7_jaw, left_arm"):
            talk(server, act)
        first, second = talk(server, act, "?embodiment=left_arm")
    assert first["actions"].shape == second["actions"].shape == (7,)
    assert len(first["plan"]["shape"]) == 3
    assert "plan" not in second


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"type": "hello", "payload": {}, "seq": 1}, "message has no 'timestamp'"),
        ({"type": "fly", "payload": {}, "seq": 1, "timestamp": 0.0}, "message has type 'fly'"),
        ({"type": "observation", "payload": {}, "seq": 1, "timestamp": 0.0}, "expected hello first"),
        ({"type": "hello", "payload": 3, "seq": 1, "timestamp": 0.0}, "payload is a int"),
        ({"type": "hello", "payload": {}, "seq": "1", "timestamp": 0.0}, "seq '1'"),
        (3, "frame holds a int"),
        ({"type": NUMBERS, "payload": {}, "seq": 1, "timestamp": 0.0}, "message has type array"),
        ({"type": [], "payload": NUMBERS, "seq": NUMBERS, "timestamp": 0.0}, "has seq array"),
    ],
)
def test_a_message_that_is_none_is_answered_by_an_error(server, message, says):
    with websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/vla", proxy=None) as raw:
        raw.send(msgpack.packb(message))
        answer = msgpack.unpackb(raw.recv())
        assert answer["type"] == "error"
        assert says in answer["payload"]["error"]
        assert answer["seq"] == (1 if isinstance(message, dict) and message["seq"] == 1 else 0)
        raw.send(msgpack.packb({"type": "hello", "payload": {}, "seq": 2, "timestamp": 0.0}))
        assert msgpack.unpackb(raw.recv())["type"] == "hello"  # the connection lives on


@pytest.mark.slow
def test_temporal_ensembling_averages_what_chunks_say_of_a_step(policy):
    async def act(connection):
        await connection.start_episode({"task": {}})
        return [(await connection.act(SEEN))["actions"] for _ in range(3)]

    with Server(policy, "--action-steps", 1, "--ensemble", "exponential", "--ensemble-decay", 0.5) as server:
        taken = talk(server, act)
    said, weight = chunk(policy), np.exp(-0.5)  # every look sees the same, so every chunk is the same
    np.testing.assert_allclose(taken[0], said[0], atol=1e-6)
    np.testing.assert_allclose(taken[1], (said[1] + weight * said[0]) / (1 + weight), atol=1e-6)
    oldest = said[2] + weight * said[1] + weight**2 * said[0]
    np.testing.assert_allclose(taken[2], oldest / (1 + weight + weight**2), atol=1e-6)
