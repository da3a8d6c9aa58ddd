"""Statistics as rows of `stats.lance`: all that is needed to merge them later, and what other readers want."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from dataengine.vector_layout import VectorLayout, join_names
from dataengine.windows.quantile_sketch import QuantileSketch
from dataengine.windows.stats import Accumulator, ColumnStatistics

SCHEMA: Final = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("dataset", "embodiment", "column", "encoding")),
        *(pa.field(name, pa.int64(), nullable=False) for name in ("dim", "count", "num_episodes", "num_not_finite")),
        *(pa.field(name, pa.list_(pa.float64())) for name in ("mean", "m2", "min", "max")),
        pa.field("sketch", pa.list_(pa.list_(pa.float32()))),  # by level: rows of dim values, flat
        pa.field("sketch_size", pa.int64(), nullable=False),
        pa.field("sketch_odd", pa.list_(pa.bool_())),
        pa.field("sketch_max_shift", pa.int64(), nullable=False),
        *(pa.field(name, pa.list_(pa.float64())) for name in ("std", "q01", "q99")),  # for readers without our code
        pa.field("grippers", pa.list_(pa.int32())),
        pa.field("names", pa.list_(pa.string())),
        pa.field("units", pa.list_(pa.string())),
        pa.field("not_finite", pa.list_(pa.int64())),
        pa.field("not_finite_in", pa.string()),
    ]
)


def to_table(groups: Iterable[ColumnStatistics]) -> pa.Table:
    """Rows of `stats.lance`, in a fixed order, with everything needed to merge them later."""
    rows = []
    for group in sorted(groups, key=_order):
        a, done = group.accumulator, group.accumulator.statistics()
        row = {name: getattr(group, name) for name in ("dataset", "embodiment", "column", "encoding")}
        row |= {name: getattr(a, name) for name in ("dim", "count", "num_episodes", "num_not_finite")}
        row |= {name: getattr(a, name) for name in ("mean", "m2", "min", "max")}
        row |= {"sketch": [level.reshape(-1) for level in a.sketch.levels], "sketch_size": a.sketch.size}
        row |= {"sketch_odd": a.sketch.odd, "sketch_max_shift": a.sketch.max_shift}
        row |= {"std": done.std, "q01": done.q01, "q99": done.q99, "grippers": list(group.grippers)}
        row |= {"not_finite": a.not_finite, "not_finite_in": a.not_finite_in}
        if group.layout:
            row |= {"names": group.layout.names, "units": group.layout.units}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def from_table(table: pa.Table) -> Iterator[ColumnStatistics]:
    """Undo `to_table`."""
    for row in table.to_pylist():
        dim = row["dim"]
        sketch = QuantileSketch(
            dim=dim,
            size=row["sketch_size"],
            levels=[np.array(level, dtype=np.float32).reshape(-1, dim) for level in row["sketch"]],
            odd=list(row["sketch_odd"]),
            max_shift=row["sketch_max_shift"],
        )
        numbers: dict[str, Any] = {name: row[name] for name in ("dim", "count", "num_episodes", "num_not_finite")}
        numbers |= {name: np.array(row[name], dtype=np.float64) for name in ("mean", "m2", "min", "max")}
        numbers["not_finite"] = np.array(row.get("not_finite") or [0] * dim, np.int64)
        accumulator = Accumulator(**numbers, not_finite_in=row.get("not_finite_in") or "", sketch=sketch)
        names = {name: row[name] for name in ("dataset", "embodiment", "column")}
        yield ColumnStatistics(**names, layout=_layout(row), accumulator=accumulator)


def _order(group: ColumnStatistics) -> tuple[Any, ...]:
    said = group.layout.notes if group.layout else {}
    return (group.dataset, group.embodiment, group.column, group.accumulator.dim, group.encoding, *said.values())


def _layout(row: Mapping[str, Any]) -> VectorLayout | None:
    """Lay out the vector of a row; rows from before layouts were kept are of house units."""
    if row["column"].startswith("raw_"):
        return None
    said = {
        name: None if row.get(name) is None else join_names([str(word) for word in row[name]])
        for name in ("grippers", "names", "units")
    }
    return VectorLayout.of(row["encoding"], row["dim"], **said)
