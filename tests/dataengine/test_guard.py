"""A reader that asks for too much memory costs a record or its part, and is tried again when it may take more."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from dataengine.episode import Episode, Part, Reject
from dataengine.errors import LimitError
from dataengine.guard import little_memory, share_gb
from dataengine.reading import reading
from dataengine.store import Corpus
from pipelines import ingest
from pipelines.ingest.config import IngestConfig
from tests.support.corpora import human_clip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no limit that holds")

BIG_GB = 2


def bomb() -> int:
    """Take memory as a decoder would that believes a header."""
    return int(np.empty(BIG_GB * 10**9, np.uint8).size)


def test_memory_beyond_the_grant_is_refused_and_the_limit_is_lifted_again() -> None:
    with little_memory(1.0), pytest.raises(MemoryError):
        bytearray(11 * 10**8)
    assert len(bytearray(11 * 10**8)) == 11 * 10**8


def test_a_record_over_the_grant_says_which_setting_lets_it_in() -> None:
    with (
        little_memory(1.5, "memory_gb"),
        pytest.raises(LimitError, match=r"took more than 1.5 GB; --set memory_gb=3 lets"),
        reading(),
    ):
        bytearray(10**12)


def test_a_grant_within_a_grant_never_lifts_it() -> None:
    with little_memory(1.0), little_memory(100.0), pytest.raises(MemoryError):
        bytearray(3 * 10**9)


def test_workers_share_the_machine() -> None:
    assert share_gb(10_000) == 4.0
    assert share_gb(1) >= share_gb(2) >= 4.0


@dataclass(frozen=True)
class Bombs:
    """Three parts: a bomb among sound records, a bomb outside of records, and one without."""

    root: str
    frame_size: int = 256
    frame_hz: float = 10.0
    name: ClassVar[str] = "made"
    kind: ClassVar[str] = "human"
    embodiment: ClassVar[str] = "human_hand"
    control_hz: ClassVar[float] = 10.0
    layout: ClassVar[str] = "none"
    licence: ClassVar[str] = "none"

    def parts(self) -> list[Part]:
        names = ("record", "part", "sound")
        return [Part(dataset="made", name=n, uri=n, num_bytes=1, fingerprint=n, options={}) for n in names]

    def read(self, part: Part) -> Iterator[Episode | Reject]:
        yield_first = human_clip(f"{part.name} first", num_steps=3)
        if part.name == "part":
            bomb()
        yield yield_first
        if part.name == "record":
            try:
                with reading():
                    bomb()
            except LimitError as error:
                fields = {"part_id": part.part_id, "dataset": "made", "source_uri": part.uri, "record": "bomb"}
                yield Reject(**fields, reason=str(error), error=type(error).__name__)
        yield human_clip(f"{part.name} last", num_steps=3)


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_bomb_costs_a_record_or_its_part_and_a_higher_limit_tries_again(
    tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    if engine == "ray":
        request.getfixturevalue("ray_cluster")
    kwargs = {
        "source": "tests.dataengine.test_guard:Bombs",
        "root": str(tmp_path / "raw"),
        "corpus": str(tmp_path / "corpus"),
    }
    kwargs |= {"engine": engine, "workers": 1, "max_attempts": 2}
    first = ingest.run(IngestConfig(**kwargs, memory_gb=1.5))
    assert (first.committed_parts, first.rejected_parts, first.episodes) == (2, 1, 4)
    rejects = {row["record"]: row for row in Corpus.open(kwargs["corpus"]).rejects().to_pylist()}
    assert rejects["bomb"]["error"] == "LimitError"
    for row in rejects.values():
        assert "took more than 1.5 GB" in row["reason"], row
    again = ingest.run(IngestConfig(**kwargs, memory_gb=1.5))
    assert (again.rejected_parts, again.episodes) == (1, 0)
    more = ingest.run(IngestConfig(**kwargs, memory_gb=8))
    assert (more.committed_parts, more.rejected_parts, more.episodes) == (1, 0, 2)
