"""The table of a comparison, and its verdict in a sentence."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from dataengine.report import Report
from pipelines.evaluation.compare.statistics import Pairs, Sequential, any_time_interval, holm, mcnemar, newcombe
from pipelines.output.text_table import text_table

ALL = "all"


class Row(BaseModel):
    """Pairs of one task, or of all."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    task: str
    pairs: int
    a: int
    """Starts that A solved."""
    b: int
    a_alone: int
    b_alone: int
    difference: float
    """Rate of B less that of A."""
    low: float
    high: float
    """Bounds of the difference: at any time while playing, Newcombe's for finished evaluations."""
    p: float
    """Of no difference: at any time while playing, McNemar's for finished evaluations."""
    p_holm: float
    """The same, adjusted for the number of tasks and policies (Holm)."""


class Comparison(BaseModel):
    """Two policies on the same starts."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    a: str
    b: str
    rows: list[Row]
    """Each task, then all of them."""
    verdict: str
    """`A`, `B`, `equal` (within `min_difference`) or `undecided`."""
    pairs_to_verdict: int | None = None
    """Pairs after which it was decided; None where it was not, or the pairs were finished beforehand."""
    e_values: list[float] = Field(default_factory=list)
    """Natural logarithm of the evidence after each pair."""


class CompareReport(Report):
    """Comparisons of the first policy with each of the others."""

    simulator: str
    level: float
    min_difference: float
    budget: int
    """Most pairs."""
    order_seed: int
    sequential: bool
    """Whether it was looked at after every pair; False for finished evaluations."""
    comparisons: list[Comparison]
    calibration: str = ""
    """Whether the simulator was shown to do what recordings say."""
    lost: list[str] = Field(default_factory=list)
    """Starts that the simulator lost, which count for nobody."""
    out: str
    picture: str

    def summary(self) -> str:
        """Print a table and a verdict for each comparison."""
        lines = []
        for one in self.comparisons:
            lines += [f"A {one.a}, B {one.b}", text_table(HEAD, [_cells(row) for row in one.rows]), self._said(one), ""]
        lines += [f"lost to the simulator, for all: {start}" for start in self.lost]
        lines += [f"simulator {self.calibration}"] if self.calibration else []
        lines.append(f"report: {self.out}/comparison.json, picture: {self.picture}")
        return "\n".join(lines)

    def _said(self, one: Comparison) -> str:
        pairs, how = one.rows[-1].pairs, "at any time" if self.sequential else "McNemar and Newcombe, pairs as given"
        after = f" after {one.pairs_to_verdict} of at most {self.budget} pairs" if one.pairs_to_verdict else ""
        bounds = f"level {self.level:g}, {how}"
        if one.verdict == "undecided":
            return f"undecided after {pairs} pairs ({bounds}): that is not the same as equal"
        if one.verdict == "equal":
            return f"equal within {self.min_difference:.0%}{after} ({bounds})"
        return f"{one.verdict} is better{after} ({bounds})"


HEAD = ("task", "pairs", "A", "B", "A alone", "B alone", "B less A, points", "p", "p (Holm)")


def _cells(row: Row) -> list[object]:
    difference = f"{100 * row.difference:+.1f} ({100 * row.low:+.1f} to {100 * row.high:+.1f})"
    rates = [f"{solved / row.pairs:.0%}" if row.pairs else "-" for solved in (row.a, row.b)]
    return [row.task, row.pairs, *rates, row.a_alone, row.b_alone, difference, f"{row.p:.3g}", f"{row.p_holm:.3g}"]


def compared(a: str, b: str, by_task: Mapping[str, Sequential], whole: Sequential, *, sequential: bool) -> Comparison:
    """Put one comparison together; p-values are adjusted for tasks here and for policies by `adjusted`."""
    rows = [_row(task, one, sequential=sequential) for task, one in by_task.items()]
    if sequential:
        verdict = whole.verdict or "undecided"
    else:
        p, pairs = mcnemar(whole.pairs), whole.pairs
        better = "B" if pairs.b_alone > pairs.a_alone else "A"
        verdict = better if p * whole.family < whole.level else "undecided"
    return Comparison(
        a=a,
        b=b,
        rows=[*rows, _row(ALL, whole, sequential=sequential)],
        verdict=verdict,
        pairs_to_verdict=whole.pairs.num if sequential and whole.verdict else None,
        e_values=whole.log_e_values,
    )


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Adjust p-values: those of all tasks of all comparisons together, those of whole comparisons among themselves."""
    whole = holm({str(i): one.rows[-1].p for i, one in enumerate(comparisons)})
    tasks = holm({f"{i} {row.task}": row.p for i, one in enumerate(comparisons) for row in one.rows[:-1]})
    return [
        one.model_copy(
            update={
                "rows": [
                    row.model_copy(update={"p_holm": whole[str(i)] if row.task == ALL else tasks[f"{i} {row.task}"]})
                    for row in one.rows
                ]
            }
        )
        for i, one in enumerate(comparisons)
    ]


def _row(task: str, one: Sequential, *, sequential: bool) -> Row:
    pairs: Pairs = one.pairs
    low, high = any_time_interval(pairs, one.level) if sequential else newcombe(pairs, one.level)
    p = one.p_value if sequential else mcnemar(pairs)
    return Row(
        task=task,
        pairs=pairs.num,
        a=pairs.a,
        b=pairs.b,
        a_alone=pairs.a_alone,
        b_alone=pairs.b_alone,
        difference=pairs.difference,
        low=low,
        high=high,
        p=p,
        p_holm=p,
    )
