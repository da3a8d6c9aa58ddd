"""Changes what is in HDF5 and Parquet files by the libraries that write them: odd types, sizes, values, links."""

import io
import tempfile
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def hdf5(data: bytes, rng: np.random.Generator) -> bytes:
    """Put something else in the place of one dataset."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        with h5py.File(file, "r+") as opened:
            names: list[str] = []
            opened.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            name = names[rng.integers(len(names))]
            is_bomb = (opened[name].size or 0) > 1 << 20  # of an earlier damage
            old = np.zeros(1) if is_bomb else opened[name][()]
            del opened[name]
            _replace(opened, name, old, rng)
        file.seek(0)
        return file.read()


def _replace(file: h5py.File, name: str, old: Any, rng: np.random.Generator) -> None:
    shape = np.shape(old)
    what = rng.integers(10)
    if what == 0:
        file.create_dataset(name, shape=(int(2 ** rng.integers(20, 40)), 7), dtype="f8", chunks=(1024, 7))
    elif what == 1:
        file.create_dataset(name, shape=(1000, 7), dtype="f8", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    elif what == 2:
        file[name] = h5py.ExternalLink("/proc/self/environ", "x")
    elif what == 3:
        file[name] = h5py.SoftLink(str(rng.choice(["/", name, "/nowhere", f"{name}/{name}"])))
    elif what == 4:
        kind = rng.choice(["S7", "V16", "c16", "i1", "u8", "f2", ">f8"])
        file.create_dataset(name, data=np.zeros(shape, kind))
    elif what == 5:
        file.create_dataset(name, data=["a", "ä", ""], dtype=h5py.string_dtype())
    elif what == 6:
        file.create_dataset(name, shape=shape, dtype="f8", fillvalue=np.nan)
    elif what == 7:
        file.create_dataset(name, data=np.resize(old, (*shape[:1], 1, 3)[: len(shape) + 1]) if np.size(old) else old)
    elif what == 8:
        file.create_dataset(name, data=h5py.Empty("f8"))
    else:
        numbers = np.array(old, dtype="f8") if np.asarray(old).dtype.kind in "iufb" else np.zeros(shape)
        spots = rng.random(numbers.shape) < 0.3
        file.create_dataset(name, data=np.where(spots, rng.choice([np.nan, np.inf, 1e300, -1e18, 0.0]), numbers))


def parquet(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one column of a table: its type, its values, its name, its rows."""
    table = pq.read_table(io.BytesIO(data))
    which = int(rng.integers(table.num_columns))
    name, column = table.column_names[which], table.column(which)
    rows = table.num_rows
    what = rng.integers(9)
    if what == 0:
        table = table.remove_column(which)
    elif what == 1:
        table = table.rename_columns([f"{n}x" if n == name else n for n in table.column_names])
    elif what == 2:
        table = table.set_column(which, name, pa.nulls(rows, column.type))
    elif what == 3:
        table = table.set_column(which, name, pa.array([["a"] * (i % 3) for i in range(rows)]))
    elif what == 4:
        edges = np.array([0, -1, 2**31, 2**62, -(2**63)], np.int64)
        table = table.set_column(which, name, pa.array(rng.choice(edges, rows)))
    elif what == 5:
        values = rng.choice([np.nan, np.inf, -1e300, 0.5, 1e18], rows)
        table = table.set_column(which, name, pa.array(values))
    elif what == 6:
        table = table.take(pa.array(rng.permutation(rows)[: int(rng.integers(rows + 1))]))
    elif what == 7:
        table = pa.concat_tables([table] * 3)
    else:
        table = table.append_column(name, column)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
