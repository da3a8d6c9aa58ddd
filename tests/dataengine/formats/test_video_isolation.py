"""A video that asks for too much memory, or a decoder that never returns, costs its clips; others are read."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest

from dataengine.episode import Episode, Part, Reject
from dataengine.errors import RecordError
from dataengine.formats.video import packets
from dataengine.formats.video.cut import cut
from dataengine.store import Corpus
from dataengine.texts import whole_episode
from pipelines import ingest
from pipelines.ingest.config import IngestConfig
from tests.support.video_writer import write_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no limit that holds")

LARGE = (3000, 6000)
"""A picture that is allowed, and takes 54 MB decoded: a file of 1 MB holds as many as one likes."""


@dataclass(frozen=True)
class Videos:
    """Each video of a folder is a part, with two clips; one called `stuck` has a decoder that never returns."""

    root: str
    frame_size: int = 64
    frame_hz: float = 10.0
    name: ClassVar[str] = "made"
    kind: ClassVar[str] = "human"
    embodiment: ClassVar[str] = "human_hand"
    control_hz: ClassVar[float] = 10.0
    layout: ClassVar[str] = "none"
    licence: ClassVar[str] = "none"

    def parts(self) -> list[Part]:
        files = sorted(Path(self.root).iterdir())
        return [
            Part(dataset="made", name=f.stem, uri=str(f), num_bytes=1, fingerprint=f.stem, options={}) for f in files
        ]

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        packets.Packets._is_wanted = hang if part.name == "stuck" else Videos.is_wanted
        for i, clip in cut(part.uri, [(0.0, 0.3), (0.2, 0.6)], self.frame_size, self.frame_hz):
            record = f"{part.name} {i}"
            if isinstance(clip, RecordError):
                fields = {"part_id": part.part_id, "dataset": "made", "source_uri": part.uri, "record": record}
                yield Reject(**fields, reason=str(clip), error=type(clip).__name__)
                continue
            num_steps = len(clip.frames.jpegs)
            yield Episode(
                dataset="made",
                source_record=record,
                source_uri=part.uri,
                embodiment="human_hand",
                kind="human",
                control_hz=clip.rate_hz,
                texts=whole_episode(["wave"], num_steps),
                time_ns=(np.arange(num_steps) * 1e9 / clip.rate_hz).astype(np.int64),
                cameras={"primary": clip.frames},
            )


Videos.is_wanted = packets.Packets._is_wanted


def hang(*_: object) -> bool:
    time.sleep(600)
    return True


def write_bomb(path: Path) -> None:
    """Write one large picture several times over."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.height, stream.width, stream.pix_fmt = *LARGE, "yuvj444p"
        frame = av.VideoFrame(LARGE[1], LARGE[0], "yuvj444p")
        (packet,) = stream.encode(frame) or stream.encode(None)
        data = bytes(packet)
        for k in range(8):
            again = av.Packet(data)
            again.stream, again.time_base, again.is_keyframe = stream, packet.time_base, True
            again.pts = again.dts = round(k / 10 / packet.time_base)
            container.mux(again)


STALL_S = 5.0
"""A sound video of these takes 0.1 s."""


@pytest.mark.slow
def test_a_bomb_and_a_decoder_that_hangs_cost_their_videos_alone(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for name in ("a", "stuck", "z"):
        write_video(raw / f"{name}.mp4", range(20), 20)
    write_bomb(raw / "bomb.mkv")
    kwargs = {"source": "tests.dataengine.formats.test_video_isolation:Videos", "root": str(raw), "workers": 1}
    kwargs |= {"corpus": str(tmp_path / "corpus"), "memory_gb": 0.2, "stall_s": STALL_S, "max_attempts": 1}
    report = ingest.run(IngestConfig(**kwargs))
    rejects = {row["record"] or "part": row["reason"] for row in Corpus.open(kwargs["corpus"]).rejects().to_pylist()}
    assert report.episodes >= 4, rejects  # those of a and z; the bomb has room for a clip or for none
    assert {record.split()[0] for record in rejects} == {"bomb", "part"}
    assert "reading took more than 0.2 GB; --set memory_gb=0.4 lets it take more" in rejects["bomb 1"]
    assert f"died or was silent for {STALL_S:g} s" in rejects["part"]
