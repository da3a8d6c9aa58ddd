"""Whatever bytes a frame holds, reading it ends in a request or in one line."""

import random

import numpy as np
import pytest
from openpi_client import msgpack_numpy
from vla_eval.protocol.messages import Message, MessageType, pack_message, unpack_message
from vla_eval.protocol.numpy_codec import set_image_format

from pipelines.serving import wire
from pipelines.serving.config import ServeConfig
from pipelines.serving.engine import PolicyEngine
from pipelines.serving.observation import flat
from tests.support.served import observation

ARRAYS = {
    "picture": np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
    "backwards": np.arange(6, dtype=np.int16).reshape(2, 3)[:, ::-1],
    "big": np.arange(3, dtype=">f8"),
    "half": np.arange(3, dtype=np.float16),
    "flags": np.array([True, False]),
    "single": np.array(3.5),
    "none": np.zeros((0, 7), np.float32),
}


def same(actual, expected):
    for key, value in expected.items():
        np.testing.assert_array_equal(actual[key], value)
        assert actual[key].shape == value.shape


def test_arrays_of_both_clients_arrive_as_they_were_and_ours_as_they_are():
    same(wire.decode(msgpack_numpy.packb(ARRAYS)), ARRAYS)
    same(msgpack_numpy.unpackb(wire.encode_openpi(ARRAYS)), ARRAYS)
    set_image_format("raw")
    try:
        message = pack_message(Message(MessageType.OBSERVATION, ARRAYS, 1))
    finally:
        set_image_format("png")
    same(wire.decode(message)["payload"], ARRAYS)
    ours = {"type": "action", "payload": ARRAYS, "seq": 1, "timestamp": 0.0}
    same(unpack_message(wire.encode_vla_eval(ours)).payload, ARRAYS)


@pytest.mark.parametrize("how", ["png", "jpeg", "raw"])
def test_pictures_of_vla_eval_are_read_in_each_of_its_formats(how):
    shown = np.full((16, 24, 3), 90, np.uint8)
    set_image_format(how)
    try:
        message = pack_message(Message(MessageType.OBSERVATION, {"view": shown}, 1))
    finally:
        set_image_format("png")
    np.testing.assert_allclose(wire.picture(wire.decode(message)["payload"]["view"], "view"), shown, atol=2)


def test_damaged_frames_end_in_one_line(policy):
    engine, draw = PolicyEngine(ServeConfig(policy=str(policy))), random.Random(0)
    seen = observation(rtc={"inference_delay": 1, "prev_actions": np.zeros((3, 7))}, session_id=3)
    seen["observation/image"] = seen["observation/image"][:4, :5]
    whole = wire.encode_openpi(seen)
    refused = 0
    for _ in range(3000):
        frame = bytearray(whole)
        for _ in range(draw.choice([1, 1, 3, 9])):
            offset = draw.randrange(len(frame))
            if draw.random() < 0.8:
                frame[offset] = draw.choice([draw.randrange(256), 0xC1, 0xC7, 0xD9, 0xDD, 0xDF])
            else:
                del frame[offset : offset + draw.randrange(1, 9)]
        try:
            engine.request(flat(wire.decode(bytes(frame))), 0)
        except wire.WireError as error:
            refused += 1
            assert "\n" not in str(error)
            assert len(str(error)) < 600
    assert refused > 1000
