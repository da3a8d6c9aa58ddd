"""Losses of held-out windows by dataset and by embodiment, from what the means of one forward pass are over.

Masked numbers have no weight: a figure of a group is a sum over all its rows, on all ranks, divided by their own count.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from dataengine.windows.episode_columns import Setup
from dataengine.windows.window import Window
from models.parts import RowSums
from pipelines.training.distributed import Distributed

Kind = Literal["dataset", "embodiment"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WINDOWS = "windows"
"""Figure: how many windows of a group were looked at."""
FiguresOf = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""From the means over some rows to the loss, `loss`, and its parts."""


def key(kind: str, group: str, figure: str) -> str:
    """Name a figure of a group: `dataset/NAME/loss`."""
    return f"{kind}/{group}/{figure}"


def parsed(name: str) -> tuple[str, str, str] | None:
    """Give kind, group and figure of a name that `key` made; None of any other. A group may have slashes, too."""
    kind, _, rest = name.partition("/")
    group, _, figure = rest.rpartition("/")
    return (kind, group, figure) if kind in KINDS and group else None


class GroupSums:
    """Sums of one look at held-out windows; all ranks make it for the same groups."""

    def __init__(self, groups: Mapping[Kind, Sequence[str]], device: torch.device) -> None:
        self._groups, self._device = groups, device
        self._tables: dict[Kind, Tensor] = {}
        self._figures: list[str] = []

    @classmethod
    def of(cls, setups: Iterable[Setup], device: torch.device) -> "GroupSums":
        """Take the groups of which there are any episodes."""
        listed = list(setups)
        return cls({kind: sorted({getattr(s, kind) for s in listed}) for kind in KINDS}, device)

    def add(self, windows: Sequence[Window], rows: RowSums) -> None:
        """Take what the means of a batch are over, row by row."""
        if not rows.sums:
            return
        self._figures = [*sorted(rows.sums), WINDOWS]
        one = torch.ones(2, len(windows), dtype=torch.float64, device=self._device)
        sums = torch.stack([*(rows.sums[name] for name in self._figures[:-1]), one])  # (figures, 2, b)
        for kind, names in self._groups.items():
            which = torch.tensor([names.index(getattr(w.episode, kind)) for w in windows], device=self._device)
            zeros = sums.new_zeros(*sums.shape[:2], len(names))
            self._tables[kind] = self._tables.get(kind, zeros).index_add(2, which, sums)

    def figures(self, distributed: Distributed, figures_of: FiguresOf) -> dict[str, float]:
        """Divide, and name what each group comes to; of groups without a window nothing."""
        named: dict[str, Tensor] = {}
        for kind, summed in self._tables.items():
            table = distributed.all_reduce_mean(summed)
            counts = table[:, 1].T.tolist()
            for g, group in enumerate(self._groups[kind]):
                for figure, value in self._of_group(table[..., g], counts[g], figures_of):
                    named[key(kind, group, figure)] = value
                if counts[g][-1]:
                    named[key(kind, group, WINDOWS)] = table[-1, 0, g] * distributed.world_size
        values = torch.stack([value.double() for value in named.values()]).tolist() if named else []
        return dict(zip(named, values, strict=True))

    def _of_group(self, table: Tensor, counts: Sequence[float], figures_of: FiguresOf) -> Iterable[tuple[str, Tensor]]:
        """Give the figures of a group, whose sums (figures, 2) are over so many numbers each."""
        sums = zip(self._figures[:-1], table, counts, strict=False)
        means = {name: total / count for name, (total, count), number in sums if number}
        return figures_of(means).items() if means else ()
