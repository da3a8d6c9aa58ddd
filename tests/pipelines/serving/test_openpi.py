"""The openpi protocol, spoken by the client that everybody has (openpi-client from PyPI), unchanged."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import msgpack
import numpy as np
import pytest
import websockets.sync.client
from openpi_client.action_chunk_broker import ActionChunkBroker
from openpi_client.websocket_client_policy import WebsocketClientPolicy

from pipelines.evaluation.policy import ActPolicy
from pipelines.serving.observation import Request
from pipelines.serving.service import QUICK_BYTES
from pipelines.serving.wire import encode_openpi
from tests.support.served import observation


@pytest.fixture
def client(server):
    return WebsocketClientPolicy("127.0.0.1", server.port)


def expected(policy, seen):
    request = Request(
        image=seen["observation/image"],
        wrist=None,
        state=np.float32(seen["observation/state"]),
        embodiment="arm7_jaw",
        instruction=seen["prompt"],
    )
    return ActPolicy.load(policy).act(request, request.instruction)


def test_metadata_say_what_to_send_and_what_comes(client):
    metadata = client.get_server_metadata()
    assert (metadata["embodiment"], metadata["rate_hz"], metadata["horizon"], metadata["action_horizon"]) == (
        "arm7_jaw",
        10,
        4,
        4,
    )
    assert metadata["action_names"] == ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]
    assert metadata["action_units"] == ["metres"] * 3 + ["radians"] * 3 + ["opening"]
    assert (metadata["state_dim"], metadata["cameras"]) == (7, ["image"])


def test_a_reply_is_what_the_policy_says_in_process(client, policy):
    seen = observation(3)
    reply = client.infer(seen)
    np.testing.assert_allclose(reply["actions"], expected(policy, seen), atol=1e-6)
    assert {"decode_ms", "queue_ms", "infer_ms"} <= reply["server_timing"].keys()
    assert "prev_total_ms" in client.infer(seen)["server_timing"]


def test_a_picture_too_large_to_read_in_passing_is_answered_like_a_small_one(client, policy):
    seen = observation(5)
    seen["observation/image"] = np.tile(seen["observation/image"], (24, 24, 1))
    assert seen["observation/image"].nbytes > QUICK_BYTES
    np.testing.assert_allclose(client.infer(seen)["actions"], expected(policy, seen), atol=1e-6)


def test_the_chunk_broker_plays_a_chunk_and_asks_again(client, policy):
    broker = ActionChunkBroker(client, client.get_server_metadata()["action_horizon"])
    first, second = observation(1), observation(2)
    played = [broker.infer(first)["actions"] for _ in range(4)] + [broker.infer(second)["actions"]]
    np.testing.assert_allclose(played[:4], expected(policy, first), atol=1e-6)
    np.testing.assert_allclose(played[4], expected(policy, second)[0], atol=1e-6)


def test_other_spellings_of_an_observation_are_known(client):
    seen = observation(4)
    plain = client.infer(seen)["actions"]
    nested = {
        "images": {"primary": seen["observation/image"]},
        "states": list(seen["observation/state"]),
        "task_description": seen["prompt"],
    }
    droid = {
        "observation/exterior_image_1_left": seen["observation/image"],
        "observation/joint_position": seen["observation/state"][:6],
        "observation/gripper_position": seen["observation/state"][6:],
        "prompt": seen["prompt"],
    }
    for other in (nested, droid):
        np.testing.assert_allclose(client.infer(other)["actions"], plain, atol=1e-6)


def test_a_state_in_another_unit_is_answered_with_a_warning(client, server):
    about, state = client.get_server_metadata(), np.zeros(7)
    assert "warning" not in client.infer(observation())
    state[1] = 300.0  # millimetres
    said = client.infer(observation(**{"observation/state": state}))["warning"]
    low, high = about["state_low"][1], about["state_high"][1]
    assert said.startswith(f"state y is 300, training saw {low:.3g} to {high:.3g} metres: another unit or origin?")
    client.infer(observation(**{"observation/state": state}))
    for _ in range(200):  # the log comes through a pipe
        if "state y is 300" in server.log:
            break
        time.sleep(0.05)
    assert server.log.count("state y is 300") == 1


def test_a_plan_comes_only_when_it_is_asked_for(client):
    assert "plan" not in client.infer(observation())
    assert "plan" not in client.infer(observation(plan=0))
    for true in (True, 1, np.bool_(True), np.array([True])):
        plan = client.infer(observation(plan=true))["plan"]
        assert np.frombuffer(plan["data"], plan["dtype"]).reshape(plan["shape"]).ndim == 3


def test_a_chunk_continues_what_the_robot_goes_on_to_execute(client):
    given = np.linspace(-0.02, 0.02, 28, dtype=np.float32).reshape(4, 7)
    plain = client.infer(observation(5))["actions"]
    rtc = {"inference_delay": 2, "prev_actions": given}
    reply = client.infer(observation(5, rtc=rtc))
    assert reply["rtc"] == {"inference_delay": 2}
    apart = [np.abs(one[:2, :6] - given[:2, :6]).mean() for one in (reply["actions"], plain)]
    assert apart[0] < 0.5 * apart[1]
    assert "rtc" not in client.infer(observation(5))


BAD = [
    ({"embodiment": "drone"}, "embodiment 'drone' is unknown, expected 'arm7_jaw'"),
    ({"observation/image": None}, "observation has no image, expected the primary camera in 'image' or"),
    ({"observation/image": np.zeros((3, 48, 64), np.uint8)}, r"shape \(3, 48, 64\), expected uint8 .*colours go last"),
    ({"observation/image": np.zeros((48, 64, 3), np.float32)}, "has type float32 .*expected uint8"),
    ({"observation/image": np.zeros((48, 64), np.uint8)}, r"shape \(48, 64\), expected uint8"),
    ({"observation/image": np.zeros((0, 64, 3), np.uint8)}, r"shape \(0, 64, 3\), expected a picture"),
    ({"observation/image": np.zeros((1, 9000, 3), np.uint8)}, r"shape \(1, 9000, 3\), expected .*no side beyond 8192"),
    ({"observation/image": "cat.png"}, "'image' is a str, expected an image"),
    ({"observation/state": None}, "observation has no state"),
    ({"observation/state": np.zeros(6)}, "state has 6 values, expected 7 of 'arm7_jaw'"),
    ({"observation/state": np.array([0, 0, np.nan, 0, 0, 0, 0])}, "'state' is not finite at 2"),
    ({"observation/state": np.full(7, 1e300)}, "'state' is not finite at 0"),
    ({"observation/state": "here"}, "'state' is a str, expected numbers"),
    ({"observation/state": [0.0, "x" * 100, ""]}, "'state' is a list that holds a str, expected numbers"),
    ({"observation/state": [0.0, [b"x" * 100], b""]}, "'state' is a list that holds a bytes, expected numbers"),
    ({"prompt": None}, "observation has no instruction"),
    ({"prompt": "  "}, "instruction is empty"),
    ({"prompt": 7}, "instruction is a int, expected text"),
    ({"prompt": "close the jar " * 99}, r"instruction has \d+ tokens, the policy reads \d+"),
    ({"prompt": "x" * 20_000}, "instruction has 20000 letters"),
    ({"endpoint": "fly"}, "endpoint is 'fly'"),
    ({"reset": "yes"}, "'reset' is 'yes', expected true or false"),
    ({"plan": 2}, "'plan' is 2, expected true or false"),
    ({"frames": np.ones(3)}, "'frames' is array"),
    ({"frames": 1}, "the server has no decoder"),
    ({"frames": True}, "the server has no decoder; start it with --lam"),
    ({"rtc": 3}, "'rtc' is to be a map"),
    ({"rtc": {"inference_delay": -1, "prev_actions": np.zeros((4, 7))}}, "inference_delay' is -1"),
    ({"rtc": {"inference_delay": 1, "prev_actions": np.zeros((4, 6))}}, r"shape \(4, 6\), expected \(steps, 7\)"),
    ({"rtc": {"inference_delay": 3, "prev_actions": np.zeros((2, 7))}}, "the robot would run out of actions"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_a_bad_observation_is_one_line_and_the_connection_lives_on(client, changes, message):
    with pytest.raises(RuntimeError, match=message) as raised:
        client.infer(observation(**changes))
    assert len(str(raised.value).splitlines()) == 2  # the client's own line, and ours
    assert client.infer(observation())["actions"].shape == (4, 7)


def array(dtype, data=b"\0" * 8, shape=(1,)):
    return {"state": {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}}


HOSTILE = [
    (msgpack.packb(array("|O")), r"array has type '\|O', expected numbers"),
    (msgpack.packb(array("<U2")), "expected numbers"),
    (msgpack.packb(array("V8")), "expected numbers"),
    (msgpack.packb(array("f8,O")), "expected numbers"),
    (msgpack.packb(array(b"<f8", shape=(-1,))), "whole numbers from 0 on"),
    (msgpack.packb(array("<f8", shape=(2,))), "do not fit"),
    (msgpack.packb(array("<f8", shape=(2**62, 2**62))), "do not fit"),
    (msgpack.packb(array("<f8", shape=(1,) * 9)), "at most 8 sizes"),
    (msgpack.packb(array("<f8", data="text")), "data of type str"),
    (msgpack.packb({"state": {b"__npgeneric__": True, b"data": 1, b"dtype": "|O"}}), "expected numbers"),
    (msgpack.packb({"state": {b"__npgeneric__": True, b"data": 300, b"dtype": "|u1"}}), "out of the range"),
    (b"\x91" * 100_000 + b"\xc0", "nested too deeply"),
    (b"\x81\xa1a" * 900 + b"\xc0", "nested"),
    (b"\xc1\xff garbage", "no msgpack"),
    (b"", "no msgpack"),
    (msgpack.packb({"rest": [{}] * 20_000}), "more than 10000 lists, maps and keys"),
    (msgpack.packb({"rest": [[[]] * 5000] * 4}), "more than 10000 lists, maps and keys"),
    (msgpack.packb({"rest": {f"{i:04}": {f"{j}": 0 for j in range(99)} for i in range(200)}}), "lists, maps and keys"),
    (msgpack.packb({"rest": [[0] * 30_000] * 4}), "100000 values in lists"),
    (msgpack.packb([1, 2]), "holds a list, expected a map"),
    (msgpack.packb({"x": msgpack.ExtType(5, b"1")}), "extension type"),
    (encode_openpi(observation(prompt=np.array(3.0))), "instruction is a ndarray, expected text"),
    (b"\xdd\x7f\xff\xff\xff", "no msgpack"),
    (msgpack.packb({"image": {"__image__": True, "format": "png", "data": b"%!PS"}, "prompt": "a"}), "no JPEG or PNG"),
    ("hello", "found a text frame"),
]


@pytest.mark.parametrize(("frame", "message"), HOSTILE)
def test_a_hostile_frame_is_one_line_and_the_connection_lives_on(server, frame, message):
    with websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as raw:
        raw.recv()
        raw.send(frame)
        answer = raw.recv()
        assert isinstance(answer, str)
        assert "\n" not in answer
        assert re.search(message, answer), answer
        raw.send(encode_openpi(observation()))
        assert isinstance(raw.recv(), bytes)


def test_a_frame_beyond_the_limit_ends_its_connection_and_no_other(server, client):
    with websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as raw:
        raw.recv()
        with pytest.raises(websockets.exceptions.ConnectionClosedError, match="1009"):
            raw.send(bytes(2**26 + 1))
            raw.recv()
    assert client.infer(observation())["actions"].shape == (4, 7)


def test_reset_of_roboarena_is_answered_by_text_only_where_it_was_sent(server):
    with websockets.sync.client.connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as raw:
        raw.recv()
        raw.send(encode_openpi({"endpoint": "reset"}))
        assert raw.recv() == "reset successful"
        raw.send(encode_openpi(observation(reset=True)))
        assert isinstance(raw.recv(), bytes)


def test_several_clients_each_get_their_own_answer(server, policy):
    seen = [observation(i) for i in range(6)]

    def ask(one):
        mine = WebsocketClientPolicy("127.0.0.1", server.port)
        return [mine.infer(one)["actions"] for _ in range(3)]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, seen))
    for one, answer in zip(seen, answers, strict=True):
        np.testing.assert_allclose(answer, np.broadcast_to(expected(policy, one), (3, 4, 7)), atol=1e-5)
