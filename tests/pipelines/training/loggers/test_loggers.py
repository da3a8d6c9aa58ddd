"""Runs that report elsewhere, too. Where a library is not installed its test is left out."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataengine.errors import DataEngineError
from pipelines.training.loggers.logger import require_loggers
from pipelines.training.settings import LoopConfig
from tests.support.toy import losses, make_run


def test_without_loggers_a_run_has_its_lines_alone(tmp_path: Path) -> None:
    make_run(tmp_path, loggers=()).train()
    assert len(losses(tmp_path)) == 12
    assert not (tmp_path / "tensorboard").exists()


def test_a_logger_that_is_not_installed_is_one_line_before_anything_is_trained(monkeypatch: Any) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    require_loggers(["tensorboard"])
    with pytest.raises(DataEngineError, match=r"^loggers has wandb, which is not installed; pip install 'villa-engine"):
        require_loggers(["tensorboard", "wandb"])


def test_unknown_loggers_are_refused() -> None:
    with pytest.raises(ValueError, match="tensorboard"):
        LoopConfig(loggers=["mlflow"])


def framed(data: bytes) -> Iterator[bytes]:
    """Records of an offline run, in the log format of LevelDB: blocks of 32 KiB; checksum, length, kind."""
    at, record = 7, b""
    while at + 7 <= len(data):
        if 2**15 - at % 2**15 < 7:  # too little for a header
            at += 2**15 - at % 2**15
        length, kind = struct.unpack_from("<HB", data, at + 4)
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, last
            yield record
            record = b""


def test_wandb_gets_every_entry_once_through_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    settings = {"loggers": ("wandb",), "validates": True, "val_every": 6}
    make_run(tmp_path, **settings, max_minutes=1e-9).train()
    make_run(tmp_path, **settings).train()
    from wandb.proto.wandb_internal_pb2 import Record

    assert wandb.run is None
    ids, seen = set(), []
    for file in sorted(tmp_path.glob("wandb/offline-run-*/*.wandb")):
        for record in map(Record.FromString, framed(file.read_bytes())):
            if record.WhichOneof("record_type") == "run":
                ids.add(record.run.run_id)
            if record.WhichOneof("record_type") == "history":
                item = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.history.item}
                seen.append((int(item["_step"]), item["train/loss"], "val/first" in item))
    assert len(ids) == 1
    assert [step for step, *_ in seen] == list(range(1, 13))
    assert [loss for _, loss, _ in seen] == [loss for _, loss, *_ in losses(tmp_path)]
    assert [step for step, _, has_picture in seen if has_picture] == [6, 12]


def test_trackio_gets_every_entry_once_through_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    from trackio import SQLiteStorage

    settings = {"loggers": ("trackio",)}
    make_run(tmp_path / "run", **settings, max_minutes=1e-9).train()
    make_run(tmp_path / "run", **settings).train()
    (run,) = SQLiteStorage.get_runs("villa")
    entries = SQLiteStorage.get_logs("villa", run)
    assert [e["step"] for e in entries] == list(range(1, 13))
    assert [e["train/loss"] for e in entries] == pytest.approx([loss for _, loss, *_ in losses(tmp_path / "run")])
