"""How frames came to rest: what the episodes of a corpus tell of each dataset."""

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from dataengine.digest import hex_digest
from dataengine.episode import CAMERA_SLOTS
from dataengine.framing import FRAME_SIZE, SQUASH, Fit, Framing
from dataengine.notes import fit_noted
from dataengine.shared_table import shared_table
from dataengine.store import columns
from dataengine.store.kept import is_one_of

if TYPE_CHECKING:
    from dataengine.store.read.corpus import Corpus

MOST_SIZES = 3
"""That are named for a dataset."""
KEEPS = "--fit pad|crop keeps the shape"

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class Shapes:
    """Sizes of a dataset's frames, over all cameras: as shipped, with what each became at rest."""

    fit: Fit
    sizes: frozenset[tuple[Size, Size]]

    @property
    def framing(self) -> Framing:
        """With what an ingest brings other frames to rest as it did these."""
        scaled = [max(rest) for native, rest in self.sizes if max(native) > max(rest)]
        whole = [max(rest) for _, rest in self.sizes]
        return Framing(max(scaled) if scaled else max([FRAME_SIZE, *whole]), self.fit)

    def line(self) -> str:
        """Say what became of frames that are not square, and what to do where it is a pity; nothing where all are."""
        text = self.summary_line()
        return f"{text}; {KEEPS}" if text and self.fit == SQUASH else text

    def summary_line(self) -> str:
        """Say what became of frames that are not square; nothing where all are."""
        changed = sorted((n, r) for n, r in self.sizes if n[0] != n[1])
        if not changed:
            return ""
        sizes = [f"{_size(n)} {self._became(n, r)}" for n, r in changed[:MOST_SIZES]]
        sizes += [f"{len(changed) - MOST_SIZES} other sizes likewise"] if len(changed) > MOST_SIZES else []
        return f"frames {', '.join(sizes)}"

    def _became(self, native: Size, rest: Size) -> str:
        if self.fit == "pad":
            return f"are padded to {_size(rest)}"
        side = "width" if native[1] > native[0] else "height"
        share = f"{1 - min(native) / max(native):.0%} of the {side}"
        if self.fit == "crop":
            return f"are cropped to {_size(rest)} ({share} cut off)"
        if rest[0] == rest[1]:
            return f"are squashed to {_size(rest)} ({share} lost)"
        return f"are stored as they are, and squashed by models ({share} lost)"


def framings(corpus: "Corpus") -> dict[str, Framing]:
    """Tell how each dataset's frames came to rest; looked for once for each state of a large corpus."""
    names = ["dataset", "notes", *(name for slot in CAMERA_SLOTS for name in _sizes_of(slot))]
    key = hex_digest("\n".join(["framings", *columns.layout(corpus.lance_table, names)]), 16)
    table = shared_table(key, len(corpus), lambda: _as_table(shapes(corpus)))
    return {row["dataset"]: Framing(row["side"], row["fit"]) for row in table.to_pylist()}


def _as_table(known: dict[str, Shapes]) -> pa.Table:
    rows = [{"dataset": name, **asdict(one.framing)} for name, one in known.items()]
    schema = pa.schema([("dataset", pa.string()), ("side", pa.int64()), ("fit", pa.string())])
    return pa.Table.from_pylist(rows, schema)


def _sizes_of(slot: str) -> list[str]:
    return [f"{name}_{slot}" for name in ("native_height", "native_width", "height", "width")]


def shapes(corpus: "Corpus", datasets: Collection[str] | None = None) -> dict[str, Shapes]:
    """Tell the sizes of each dataset's frames, or of some datasets', without reading one."""
    sizes: dict[str, set[tuple[Size, Size]]] = defaultdict(set)
    for slot in CAMERA_SLOTS:
        names = _sizes_of(slot)
        if names[-1] in corpus.schema.names:
            there = f"height_{slot} IS NOT NULL"
            where = there if datasets is None else f"{there} AND {is_one_of('dataset', datasets)}"
            for dataset, *sides in corpus.distinct(["dataset", *names], where):
                sizes[dataset].add(((sides[0], sides[1]), (sides[2], sides[3])))
    return {name: Shapes(fit_of(corpus, name) or SQUASH, frozenset(sides)) for name, sides in sorted(sizes.items())}


def fit_of(corpus: "Corpus", dataset: str) -> Fit | None:
    """Tell how a dataset's frames became square, as its first episode says (one for all); None without episodes."""
    noted = corpus.lance_table.to_table(["notes"], filter=is_one_of("dataset", [dataset]), limit=1)["notes"].to_pylist()
    if not noted:
        return None
    try:
        return fit_noted(dict(json.loads(noted[0] or "{}")))
    except ValueError:  # `villa corpus verify` looks for damage
        return SQUASH


def _size(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
