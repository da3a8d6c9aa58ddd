"""The page of a probe: which variant reads better, errors beside their yardsticks, largest errors, every number."""

from dataengine.vector_layout import GROUPS
from pipelines.analysis.probe.charts import Bars, ComparisonRow, bins_chart, change_chart, difference_chart, error_chart
from pipelines.analysis.probe.measures import BIN
from pipelines.analysis.probe.report import MEAN, Comparison, EmbodimentReadouts, Interval, ProbeReport, Readout
from pipelines.analysis.probe.variants import MEDIAN, TRUE_CHANGE
from pipelines.html.charts import Value
from pipelines.html.drawing import Drawing
from pipelines.html.page import Section, cards, page
from pipelines.html.templates import macros
from pipelines.output.folder import Before, OutputFolder, page_with

OLD_PAGE = Before(
    r"index\.html|report\.json|charts/(change|error|largest|largest-change)-\w+\.svg", page_with("Probing")
)
TEMPLATE = "analysis/probe/page.html"
ALL = "all"
"""Name of the error over all dimensions, beside those of groups."""

LEAST_CHANGE = 0.002
"""Share of pairs: where no bin changes by more there is nothing to draw."""


def write_page(out: OutputFolder, report: ProbeReport) -> None:
    """Write the page, its charts as files, and the report itself."""
    out.remove("charts/*")
    html, comparisons, errors, largest = macros(TEMPLATE), _comparisons(report), _errors(report), _largest(report)
    for drawing in (*comparisons, *errors, *largest):
        out.write(f"charts/{drawing.key}.svg", drawing.file)
    sections = [
        Section("errors", "Errors by group of dimensions", html.errors(errors)),
        Section("largest", "Largest errors", html.largest(largest)),
        Section("numbers", "All numbers", _numbers(report)),
        Section("reading", "How to read it", _reading(report)),
    ]
    if comparisons:
        comparison = html.comparison(report.lams[0], report.about_seeds, comparisons[0], comparisons[1:])
        sections.insert(0, Section("comparison", "Which one reads better", comparison))
    lead = f"{report.corpus}: actions of robots, read back from frozen latent actions {report.interval_s:g} s apart"
    foot = "Every number is in report.json, every chart in charts/, beside this page."
    out.write("index.html", page("Probing", lead, cards(_cards(report)), sections, foot))
    out.write("report.json", report.model_dump_json(indent=1))


def _cards(report: ProbeReport) -> list[tuple[object, str, str]]:
    """Pick the few numbers that matter."""
    figures: list[tuple[object, str, str]] = []
    whole = MEAN if len(report.embodiments) > 1 else report.titles[0]
    for c in report.comparisons:
        if c.embodiment == whole:
            within = f"{percent(c.interval[0])} to {percent(c.interval[1])}; " if c.interval else ""
            seeds = f"{within}lower in {c.lower} of {len(c.change_seeds)} {c.over}"
            figures.append((percent(c.change), f"error of {c.lam}, against {c.versus}", seeds))
    if not figures:
        closed = [x for e in report.embodiments if (x := gap_closed(e, e.readouts[1].l1)) is not None]
        if closed:
            share = f"{sum(closed) / len(closed):.0%}"
            figures.append((share, "of the gap between the yardsticks closed", "mean over embodiments"))
    unseen = [b for b, e in zip(report.titles, report.embodiments, strict=True) if e.unseen_by]
    pairs = sum(e.held_out_pairs for e in report.embodiments)
    figures.append((len(report.embodiments), "robot embodiments", f"unseen in training: {', '.join(unseen) or 'none'}"))
    figures.append((report.training_seeds, "trained models of each variant", f"{report.seeds} probes on each"))
    figures.append((f"{pairs:,}", "held-out pairs of frames", "of episodes that no probe saw"))
    return figures


def _comparisons(report: ProbeReport) -> list[Drawing]:
    """Draw changes embodiment by embodiment, seed by seed: of the whole error, then of kinds of value."""
    names = {variant: i for i, variant in enumerate(report.lams)}
    drawings = []
    for measure in (ALL, *GROUPS):
        lines: dict[str, list[ComparisonRow]] = {}
        for c in report.comparisons:
            if measure == ALL:
                middle, within, seeds = c.change, c.interval, c.change_seeds
            elif measure in c.groups:
                middle, within, seeds = c.groups[measure], c.group_intervals[measure], c.group_seeds[measure]
            else:
                continue
            title = f"{c.lam} against {c.versus}" if len(report.lams) > 2 else ""
            remark = f"{percent(middle)}, lower in {sum(s < 0 for s in seeds)} of {len(seeds)}"
            name = _with_status(report, c)
            lines.setdefault(title, []).append(ComparisonRow(name, names[c.lam], _value(middle, within), seeds, remark))
        if lines:
            what = "Change of the error" if measure == ALL else f"Change of the error, {measure}"
            drawings.append(change_chart(f"change-{measure}", what, lines, "left of the line is better"))
    return drawings


def _with_status(report: ProbeReport, comparison: Comparison) -> str:
    """Mark an embodiment that training never saw."""
    unseen = {b: e for b, e in zip(report.titles, report.embodiments, strict=True) if e.unseen_by}
    return f"{comparison.embodiment} (unseen)" if comparison.embodiment in unseen else comparison.embodiment


def _errors(report: ProbeReport) -> list[Drawing]:
    """Draw errors by group of dimensions, for each embodiment."""
    drawings = []
    for i, (title, e) in enumerate(zip(report.titles, report.embodiments, strict=True)):
        variants, median, true = split(e, report)
        columns = {
            ALL: Bars(
                [_value(r.l1, r.l1_interval) for r in variants], [r.l1_seeds for r in variants], median.l1, true.l1
            )
        }
        for g in median.groups:
            values = [_value(r.groups[g], r.group_intervals[g]) for r in variants]
            columns[g] = Bars(values, [r.group_seeds[g] for r in variants], median.groups[g], true.groups[g])
        drawings.append(error_chart(f"error-{i}", title, columns, report.lams, _remark(report, e)))
    return drawings


def _largest(report: ProbeReport) -> list[Drawing]:
    """Draw how pairs spread over largest errors, and what that changes between variants."""
    drawings = []
    for i, (title, e) in enumerate(zip(report.titles, report.embodiments, strict=True)):
        variants, median, true = split(e, report)
        beyond = ", ".join(f"{r.source} {r.histogram[-1]:.0%}" for r in variants)
        shares = {r.source: r.histogram for r in variants}
        remark = f"share of pairs; beyond 1: {beyond}"
        drawings.append(bins_chart(f"largest-{i}", title, shares, [median.histogram, true.histogram], BIN, remark))
        changes = {report.lams.index(c.lam): c.histogram for c in report.comparisons if c.embodiment == title}
        if any(abs(x) > LEAST_CHANGE for shares in changes.values() for x in shares):
            heading, less = f"{title}: change", f"share of pairs, less that of {report.lams[0]}"
            drawings.append(difference_chart(f"largest-change-{i}", heading, changes, report.lams, BIN, less))
    return drawings


def _numbers(report: ProbeReport) -> str:
    """Print all of it."""
    rows_of = []
    for title, e in zip(report.titles, report.embodiments, strict=True):
        groups = list(e.readouts[0].groups)
        head = ["read from", "L1", "interval", *groups, "max error < 0.5", "gap closed", "by seed"]
        rows = [
            [
                *(r.source, _three(r.l1), _interval(r.l1_interval)),
                *(_three(r.groups[g]) for g in groups),
                *(f"{r.small_errors:.1%}", _closed(e, r), _seeds(r)),
            ]
            for r in e.readouts
        ]
        rows_of.append((title, e, e.status(report.lams), head, rows))
    return macros(TEMPLATE).numbers(rows_of, report.comparisons)


def _reading(report: ProbeReport) -> str:
    """Say what the numbers mean and what they do not."""
    variants = [[r.source, ", ".join(r.models)] for r in report.embodiments[0].readouts if r.models]
    return macros(TEMPLATE).reading(MEDIAN, TRUE_CHANGE, report.notes, variants)


def split(e: EmbodimentReadouts, report: ProbeReport) -> tuple[list[Readout], Readout, Readout]:
    """Variants, then the two yardsticks."""
    by_source = {r.source: r for r in e.readouts}
    return [by_source[name] for name in report.lams], by_source[MEDIAN], by_source[TRUE_CHANGE]


def gap_closed(e: EmbodimentReadouts, l1: float) -> float | None:
    """Place an error between the yardsticks: 0 knows nothing, 1 reads what the true change tells; None: no gap."""
    l1_of = {r.source: r.l1 for r in e.readouts}
    gap = l1_of[MEDIAN] - l1_of[TRUE_CHANGE]
    return (l1_of[MEDIAN] - l1) / gap if gap > 0 else None


def _closed(e: EmbodimentReadouts, readout: Readout) -> str:
    share = gap_closed(e, readout.l1)
    return "" if share is None or not readout.models else f"{share:.0%}"


def percent(change: float) -> str:
    """Print a relative change with its sign."""
    return f"{100 * change:+.1f} %"


def _remark(report: ProbeReport, e: EmbodimentReadouts) -> str:
    return e.status(report.lams) if e.unseen_by or e.unknown_to else ""


def _value(middle: float, within: Interval | None) -> Value:
    return Value(middle, *within) if within else Value(middle)


def _interval(within: Interval | None) -> str:
    return f"{within[0]:.3f} to {within[1]:.3f}" if within else ""


def _seeds(readout: Readout) -> str:
    return ", ".join(_three(x) for x in readout.l1_seeds) if len(readout.l1_seeds) > 1 else ""


def _three(x: float) -> str:
    return f"{x:.3f}"
