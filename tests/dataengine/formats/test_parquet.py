"""Parquet files of strangers: what a footer says is read as pyarrow reads it, and no damage of it ends the process."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataengine.errors import RecordError
from dataengine.formats.parquet import ParquetFile

TABLE = pa.table(
    {
        "index": pa.array(np.arange(-7, 33)),
        "small": pa.array(np.arange(40), pa.int32()),
        "text": [f"do {i % 3}" for i in range(40)],
        "list": [[0.5] * (i % 4) for i in range(40)],
        "picture": [{"bytes": b"x" * i, "path": None} for i in range(40)],
        "none": pa.nulls(40, pa.int64()),
    }
)
READ_ALL = """
import sys
from dataengine.errors import RecordError
from dataengine.formats.parquet import ParquetFile

whole = sys.stdin.buffer.read()
footer = int.from_bytes(whole[-8:-4], "little")
for bit in range(8 * (len(whole) - 8 - footer), 8 * (len(whole) - 8)):
    data = bytearray(whole)
    data[bit // 8] ^= 1 << bit % 8
    try:
        with ParquetFile(bytes(data)) as file:
            file.read(file.names)
    except RecordError as error:
        assert len(str(error).splitlines()) == 1, error
print("all read or refused")
"""


def written(**how) -> bytes:
    file = io.BytesIO()
    pq.write_table(TABLE, file, **how)
    return file.getvalue()


def test_no_flipped_bit_of_a_footer_ends_the_process() -> None:
    whole = io.BytesIO()
    pq.write_table(pa.table({"numbers": [[1.0, 2.0], [3.0, None]]}), whole)
    command = [sys.executable, "-c", READ_ALL]
    done = subprocess.run(command, input=whole.getvalue(), capture_output=True, cwd=Path(__file__).parents[3])
    assert (done.returncode, done.stdout) == (0, b"all read or refused\n"), done.stderr.decode()


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"row_group_size": 9},
        {"data_page_version": "2.0", "compression": "zstd"},
        {"use_dictionary": False, "write_statistics": False},
        {"write_page_index": True, "store_schema": False, "sorting_columns": [pq.SortingColumn(0)]},
        {"version": "1.0", "compression": "none", "row_group_size": 1},
    ],
)
def test_ranges_are_those_that_pyarrow_tells_of_a_sound_file(how) -> None:
    data = written(**how)
    about = pq.read_metadata(io.BytesIO(data))
    with ParquetFile(data) as file:
        assert file.num_rows == about.num_rows and file.names == TABLE.column_names
        for index, name in enumerate(("index", "small")):
            known = [about.row_group(i).column(index).statistics for i in range(about.num_row_groups)]
            expected = [(0, 2**62) if each is None else (each.min, each.max) for each in known]
            assert file.ranges(name).tolist() == [list(pair) for pair in expected]
        assert file.read(["text", "index"]).equals(TABLE.select(["text", "index"]))
        first = file.read(file.names, 0)
        assert first.equals(TABLE.slice(0, len(first))) and len(first) == about.row_group(0).num_rows


@pytest.mark.parametrize("how", [{"row_group_size": 9}, {"data_page_version": "2.0", "compression": "none"}])
def test_bounds_count_the_values_and_bytes_of_the_columns_that_are_read(how, monkeypatch) -> None:
    data = written(**how)
    about = pq.read_metadata(io.BytesIO(data))
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    chunks = [rows.column(3) for rows in groups]  # `list`, a value or a gap for each
    values = sum(max(chunk.num_values, rows.num_rows) for chunk, rows in zip(chunks, groups, strict=True))
    size = sum(max(chunk.total_uncompressed_size, chunk.total_compressed_size) for chunk in chunks)
    monkeypatch.setattr("dataengine.formats.parquet.MAX_VALUES", values)
    monkeypatch.setattr("dataengine.formats.parquet.MAX_BYTES", size)
    with ParquetFile(data) as file:
        assert file.read(["list"])["list"].to_pylist() == TABLE["list"].to_pylist()
        monkeypatch.setattr("dataengine.formats.parquet.MAX_VALUES", values - 1)
        with pytest.raises(RecordError, match=f"unpacks to {values} values in {size} bytes, expected {values - 1} in"):
            file.read(["list"])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "has 0 bytes, too few for one"),
        (written()[:-1], r"ends in b'\\x.*', expected b'PAR1'; cut off as it was copied\?"),
        (written()[:-4] + b"PARE", "is encrypted"),
        (written()[:-8] + b"\xff\xff\xff\x7fPAR1", "says that its footer has 2147483647 bytes, the file has "),
        (b"PAR1" + b"\x1c" * 100 + (100).to_bytes(4, "little") + b"PAR1", "structs more than 20 deep in one another"),
        (b"PAR1" + b"\x49\xfc\xff\xff\xff\x0f\0" + (7).to_bytes(4, "little") + b"PAR1", "a list of 33554431 values"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"ends in b'6:0\\n'"),
    ],
)
def test_what_is_wrong_with_a_footer_is_one_line(data: bytes, reason: str) -> None:
    with pytest.raises(RecordError, match=reason) as caught:
        ParquetFile(data)
    assert str(caught.value).startswith("not a readable parquet file (")
