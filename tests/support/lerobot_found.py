"""What was read of the trees that `lerobot_writer` writes."""

import numpy as np
import simplejpeg

from dataengine.episode import Reject
from tests.support import lerobot_writer as lr


def reasons(outcomes):
    return {reject.record: reject.reason for reject in outcomes if isinstance(reject, Reject)}


def greys(frames):
    return [round(float(simplejpeg.decode_jpeg(data).mean())) for data in frames.jpegs]


def is_shown(frames, episode):
    wanted = [lr.level(episode, k) for k in range(lr.LENGTHS[episode])]
    return bool(np.abs(np.array(greys(frames)) - wanted).max() < 2.5)


def assert_whole(episodes):
    assert [episode.source_record for episode in episodes] == ["0", "1", "2"]
    for i, episode in enumerate(episodes):
        assert episode.state.dtype == np.float32
        assert np.array_equal(episode.state, lr.state_of(i).astype(np.float32))
        assert np.array_equal(episode.action, lr.action_of(i).astype(np.float32))
        assert np.array_equal(episode.raw_state.astype(np.float32), episode.state)
        assert episode.instruction == [lr.TASKS[i]]
        assert episode.time_ns.tolist() == [100_000_000 * k for k in range(lr.LENGTHS[i])]
        assert {slot: is_shown(frames, i) for slot, frames in episode.cameras.items()} == {
            "primary": True,
            "wrist": True,
        }
