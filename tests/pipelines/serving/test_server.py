"""How a server begins, whom it lets in, and how it ends."""

import json
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import websockets.sync.client
from openpi_client.websocket_client_policy import WebsocketClientPolicy

from dataengine.formats import jpeg
from models.fingerprint import fingerprint
from models.lam import Lam
from models.weights import save_model
from tests.support.policies import save_policy
from tests.support.served import LISTENS, Server, observation
from tests.support.shapes import lam_shape

TOKEN = "a-token-of-some-length"


def test_plain_requests_say_how_it_goes(server):
    assert server.get("/healthz") == (200, "OK\n")
    assert server.get("/health") == (200, '{"status": "ok"}\n')
    WebsocketClientPolicy("127.0.0.1", server.port).infer(observation())
    status, text = server.get("/metrics")
    answer = json.loads(text)
    assert status == 200
    assert answer["answers"] >= 1
    assert {"decode", "queue", "infer", "encode", "total"} <= answer["ms"].keys()
    assert server.get("/nowhere")[0] == 404


def test_the_port_opens_early_and_clients_wait_until_the_policy_is_warm(policy):
    with Server(policy, wait=LISTENS) as server:
        early = server.get("/healthz")
        client = WebsocketClientPolicy("127.0.0.1", server.port)  # returns with the metadata, that is when warm
        assert early == (503, "loading\n")
        assert client.infer(observation())["actions"].shape == (4, 7)
        assert server.get("/healthz") == (200, "OK\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_answers_end_and_reports(policy, number):
    with Server(policy) as server:
        client = WebsocketClientPolicy("127.0.0.1", server.port)
        client.infer(observation())
        code, report = server.stop(number)
        assert code == 0, server.log
        assert (report["answers"], report["errors"], report["sessions"]) == (1, 0, 1)
        assert report["ms"]["infer"]["p50"] > 0
        assert "Traceback" not in server.log
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            client.infer(observation())


def test_a_stop_while_the_policy_is_read_ends_it(policy):
    with Server(policy, wait=LISTENS) as server:
        assert server.stop()[0] == 0
        assert "Traceback" not in server.log
        assert "ready" in server.log or "stops when the policy is read" in server.log


def test_a_stop_or_a_bad_policy_lets_clients_go_that_wait_for_it(policy, tmp_path):
    with Server(policy, wait=LISTENS) as server, waiting(server.port) as client:
        assert server.stop()[0] == 0
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            client.recv(timeout=30)
    broken = shutil.copytree(policy, tmp_path / "act")
    (broken / "tokenizer.json").write_text("{")
    with Server(broken, wait=LISTENS) as server, waiting(server.port) as client:
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            client.recv(timeout=60)
        out, _ = server.process.communicate(timeout=60)
        assert server.process.returncode == 2
        assert "not a tokenizer.json" in json.loads(out)["error"]


def waiting(port):
    return websockets.sync.client.connect(f"ws://127.0.0.1:{port}/", proxy=None)


def test_whoever_knocks_with_something_else_leaves_no_traceback(server):
    for knock in (b"GET /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02", b"\0" * 9000, b""):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as raw:
            raw.sendall(knock)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(1000)
    assert server.get("/healthz")[0] == 200
    assert "Traceback" not in server.log


def test_a_token_is_asked_for_where_there_is_one(policy):
    with Server(policy, env={"VILLA_SERVE_TOKEN": TOKEN}) as server:
        for key in (None, "wrong", TOKEN[:-1], TOKEN + "x"):
            with pytest.raises(websockets.exceptions.InvalidStatus, match="HTTP 401"):
                WebsocketClientPolicy("127.0.0.1", server.port, api_key=key)
        assert server.get("/healthz")[0] == 200
        assert server.get("/metrics")[0] == 401
        assert server.get("/metrics", Authorization=f"Api-Key {TOKEN}")[0] == 200
        client = WebsocketClientPolicy("127.0.0.1", server.port, api_key=TOKEN)
        assert client.infer(observation())["actions"].shape == (4, 7)


def test_clients_that_vanish_take_nobody_with_them(server):
    before = connected(server)
    stays = WebsocketClientPolicy("127.0.0.1", server.port)

    def vanish():
        goes = WebsocketClientPolicy("127.0.0.1", server.port)
        goes._ws.send(goes._packer.pack(observation()))
        goes._ws.socket.close()

    gone = [threading.Thread(target=vanish) for _ in range(4)]
    for one in gone:
        one.start()
    for one in gone:
        one.join()
    for _ in range(3):
        assert stays.infer(observation())["actions"].shape == (4, 7)
    deadline = time.monotonic() + 60
    while (left := connected(server)) > before + 1 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left <= before + 1


def connected(server):
    return json.loads(server.get("/metrics")[1])["connected"]


@pytest.mark.slow
def test_more_clients_than_allowed_are_turned_away(policy):
    with Server(policy, "--max-clients", 1) as server:
        first = WebsocketClientPolicy("127.0.0.1", server.port)
        with pytest.raises(websockets.exceptions.InvalidStatus, match="HTTP 503"):
            WebsocketClientPolicy("127.0.0.1", server.port)
        assert first.infer(observation())["actions"].shape == (4, 7)


@pytest.mark.slow
def test_a_policy_of_several_robots_with_wrist_cameras_asks_for_both(tmp_path):
    folder = save_policy(tmp_path / "act", robots=("arm7_jaw", "left_arm"), wrist=True)
    picture = np.zeros((32, 32, 3), np.uint8)
    with Server(folder) as server:
        client = WebsocketClientPolicy("127.0.0.1", server.port)
        assert client.get_server_metadata()["cameras"] == ["image", "wrist"]
        assert set(client.get_server_metadata()["embodiments"]) == {"arm7_jaw", "left_arm"}
        with pytest.raises(RuntimeError, match="names no embodiment, expected one of arm7_jaw, left_arm"):
            client.infer(observation())
        named = observation(embodiment="left_arm")
        with pytest.raises(RuntimeError, match="no wrist picture, expected it in 'wrist' or 'observation/wrist_image'"):
            client.infer(named)
        assert client.infer(named | {"observation/wrist_image": picture})["actions"].shape == (4, 7)


def test_what_all_robots_agree_on_is_said_once_and_a_client_that_names_its_robot_gets_the_rest(tmp_path):
    folder = save_policy(tmp_path / "act", robots=("arm7_jaw", "left_arm"), rates_hz=(10.0, 20.0))
    with Server(folder) as server:
        common = WebsocketClientPolicy("127.0.0.1", server.port).get_server_metadata()
        address = f"ws://127.0.0.1:{server.port}/?embodiment="
        mine = WebsocketClientPolicy(f"{address}left_arm", None)
        about = mine.get_server_metadata()
        assert mine.infer(observation())["actions"].shape == (4, 7)
        with pytest.raises(RuntimeError, match="'arm7_jaw' is not served here, expected 'left_arm'"):
            mine.infer(observation(embodiment="arm7_jaw"))
        with pytest.raises(websockets.exceptions.ConnectionClosed, match=r"1008.*'drone' is unknown, expected one of"):
            WebsocketClientPolicy(f"{address}drone", None)
        assert server.get("/?robot=left_arm") == (400, "expected no query but ?embodiment=NAME\n")
    assert common["action_names"][:3] == about["action_names"][:3] == ["x", "y", "z"]
    assert (common["embodiment"], about["embodiment"]) == ("", "left_arm")
    assert "rate_hz" not in common  # 10 and 20
    assert {name: one["rate_hz"] for name, one in common["embodiments"].items()} == {"arm7_jaw": 10, "left_arm": 20}
    assert (about["rate_hz"], set(about["embodiments"])) == (20, {"left_arm"})


def test_robots_have_names_of_their_own_for_what_they_see(policy):
    with Server(policy, "--set", "keys.image=[front_rgb]", "--set", "keys.state=[joints,gripper]") as server:
        client = WebsocketClientPolicy("127.0.0.1", server.port)
        seen = observation(1)
        picture, state = seen.pop("observation/image"), seen.pop("observation/state")
        renamed = {"front_rgb": picture, "joints": state[:6], "gripper": state[6], "prompt": seen["prompt"]}
        with Server(policy) as plain:
            expected = WebsocketClientPolicy("127.0.0.1", plain.port).infer(observation(1))["actions"]
        np.testing.assert_allclose(client.infer(renamed)["actions"], expected, atol=1e-6)
        with pytest.raises(RuntimeError, match="no image, expected the primary camera in 'front_rgb'"):
            client.infer(observation(1))


def test_an_answer_that_is_being_made_goes_out_before_the_server_ends(policy):
    with Server(policy, "--num-euler-steps", 500) as server:
        client = WebsocketClientPolicy("127.0.0.1", server.port)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.infer, observation())
            while not (asking := json.loads(server.get("/metrics")[1])["asking"]) and not answer.done():
                time.sleep(0.01)
            code, report = server.stop()
            assert answer.result(60)["actions"].shape == (4, 7)
    assert (asking, code, report["answers"]) == (1, 0, 1)


@pytest.mark.slow
def test_frames_of_a_plan_come_as_pictures_where_they_are_asked_for(tmp_path):
    lam = Lam(lam_shape("tiny"))
    save_model(lam, tmp_path / "lam")
    latent = {"name": "lam", "fingerprint": fingerprint(tmp_path / "lam"), "k": 1, "d": 1, "interval_s": 0.3}
    shape = {"codes_per_latent": lam.config.num_slots, "latent_dim": lam.config.latent_dim}
    folder = save_policy(tmp_path / "act", latent=latent, **shape)
    with Server(folder, "--lam", tmp_path / "lam") as server:
        client = WebsocketClientPolicy("127.0.0.1", server.port)
        steps = client.get_server_metadata()["plan"][0]
        reply = client.infer(observation(frames=True))
        assert "frames" not in client.infer(observation())
    side = lam.config.resolution
    assert [jpeg.decode(one).shape for one in reply["frames"]] == [(side, side, 3)] * steps
    assert "plan" not in reply
