"""A simulator plays the same through `villa serve` as in process, several robots at once."""

import json

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from pipelines.evaluation.config import EvalConfig
from pipelines.evaluation.evaluate import run
from pipelines.evaluation.remote import RemoteActor
from pipelines.evaluation.simulators._play import Lane
from tests.support.fitting import fitting_policy
from tests.support.line_simulators import Line
from tests.support.served import Server

LINE = "tests.support.line_simulators:Line"


def evaluate(policy, out):
    settings = {"tasks": ("forward",), "episodes": 5, "processes": 1, "num_envs": 3, "num_filmstrips": 0}
    return run(EvalConfig(policy=policy, simulator=LINE, out=out, device="cpu", num_videos=0, **settings))


@pytest.mark.slow
def test_it_plays_the_same_as_in_process(tmp_path):
    policy = fitting_policy(tmp_path / "act")
    in_process = evaluate(str(policy), tmp_path / "in_process")
    with Server(policy, "--device", "cpu") as server:
        url = f"ws://127.0.0.1:{server.port}"
        through = evaluate(url, tmp_path / "through")
        _, report = server.stop()
    assert report["answers"] == sum(-(-20 // 4) for _ in range(5))
    one, other = (next(folder.glob("episodes/*.jsonl")) for folder in (tmp_path / "in_process", tmp_path / "through"))
    outcomes = [
        sorted((row["seed"], row["success"], row["steps"]) for row in map(json.loads, file.read_text().splitlines()))
        for file in (one, other)
    ]
    assert outcomes[0] == outcomes[1]
    assert through.results[0].successes == in_process.results[0].successes


@pytest.mark.slow
def test_every_robot_gets_its_own_chunk_and_a_server_that_dies_is_one_line(tmp_path):
    from pipelines.evaluation.policy import ActPolicy

    folder = fitting_policy(tmp_path / "act")
    lanes = []
    for seed in range(3):
        lane = Lane(Line("forward"), seed=seed)
        lane.simulator.reset(seed)
        lane.observation = lane.simulator.observe()
        lanes.append(lane)
    expected = ActPolicy.load(folder, "cpu").act_batch([lane.observation for lane in lanes], ["go forward"] * 3)
    with Server(folder, "--device", "cpu") as server:
        actor = RemoteActor(f"ws://127.0.0.1:{server.port}", "go forward")
        np.testing.assert_allclose(np.stack(actor.act(lanes)), expected, atol=1e-5)
        server.process.kill()
        with pytest.raises(DataEngineError, match=r"the server went away .*finished episodes are kept"):
            actor.act(lanes)


def test_where_no_server_is_there_is_one_line(tmp_path):
    with pytest.raises(DataEngineError, match=r"ws://127.0.0.1:9: no policy there .*start `villa serve POLICY`"):
        evaluate("ws://127.0.0.1:9", tmp_path)
