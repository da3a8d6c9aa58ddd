"""The data half of the demo's page: recordings, corpus, curation, labels and shards."""

from pipelines.curate.report import notes_together
from pipelines.demo.summary import DemoSummary
from pipelines.html.page import remarked
from pipelines.html.templates import macros
from pipelines.output.text_table import human_bytes

TEMPLATE = "demo/report_data.html"
MAX_REJECTS = 30
"""Rows of rejected records that the page shows."""


def recordings(summary: DemoSummary) -> str:
    """Raw datasets before ingest."""
    rows = [
        [
            *(r.source, "simulated" if r.simulated else "partly real footage", r.episodes, r.steps),
            remarked(r.note, below=r.root),
        ]
        for r in summary.recorded
    ]
    return macros(TEMPLATE).recordings(rows) if rows else ""


def corpus(summary: DemoSummary) -> str:
    """Rows of the corpus by source, and what was rejected."""
    rows = [
        [
            *(i.source, i.kind, i.embodiment, i.control_hz, i.committed_parts + i.skipped_parts, i.planned_parts),
            *(i.episodes, i.steps, human_bytes(i.num_bytes) if i.num_bytes else "", i.rejected_records, i.seconds),
        ]
        for i in summary.ingest
    ]
    rejects = [[r.source, r.record, r.reason] for r in summary.rejects]
    more = len(rejects) - MAX_REJECTS
    return macros(TEMPLATE).corpus(rows, rejects[:MAX_REJECTS], more) if rows else ""


def curation(summary: DemoSummary) -> str:
    """Say what each rule dropped, and what is left of each embodiment."""
    rules = summary.curation.rules if summary.curation else []
    rows = [[r.rule, r.checked, r.not_checked, r.dropped, r.example] for r in rules]
    notes = notes_together({r.rule: r.notes for r in rules})
    stats = [[s.embodiment, s.episodes, s.steps, s.state_dim, s.action_dim] for s in summary.stats]
    return macros(TEMPLATE).curation(summary.curation, rows, notes, stats).strip()


def labels(summary: DemoSummary) -> str:
    """Say what was written into the corpus, and what left it."""
    rows = [[label.lam, label.episodes, label.steps, label.seconds] for label in summary.labels]
    s = summary.shards
    shards = [[s.shards, s.episodes, s.steps, human_bytes(s.num_bytes), s.seconds]] if s else []
    return macros(TEMPLATE).labels(rows, shards).strip()
