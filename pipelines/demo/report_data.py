"""The data half of the demo's page: recordings, corpus, curation, labels and shards."""

from pipelines.curate.report import told_together
from pipelines.demo.summary import DemoSummary
from pipelines.html import page
from pipelines.text_table import human_bytes

LABELS = (
    "The latent action model writes latent actions of robots and people into columns of the corpus. A latent action "
    "leads to a later frame, so the last steps of an episode have none."
)
MAX_REJECTS = 30
"""Rows of rejected records that the page shows."""


def recordings(summary: DemoSummary) -> list[str]:
    """Raw datasets before ingest."""
    if not summary.recorded:
        return []
    rows = [
        [
            *(r.source, "simulated" if r.simulated else "partly real footage", r.episodes, r.steps),
            page.Html(f"{page.text(r.note)}<br><small>{page.text(r.root)}</small>"),
        ]
        for r in summary.recorded
    ]
    return [
        page.paragraph(
            "Scripted experts play, and their recordings are written as the publishers of such data ship them: file "
            "layouts, codecs, field names and units are the real ones, the robots are simulated."
        ),
        page.table(["source", "origin", "episodes", "steps", "what and where it is"], rows),
    ]


def corpus(summary: DemoSummary) -> list[str]:
    """Rows of the corpus by source, and what was rejected."""
    if not summary.ingest:
        return []
    rows = [
        [
            *(i.source, i.kind, i.embodiment, i.control_hz, i.committed_parts + i.skipped_parts, i.planned_parts),
            *(i.episodes, i.steps, human_bytes(i.num_bytes) if i.num_bytes else "", i.rejected_records, i.seconds),
        ]
        for i in summary.ingest
    ]
    head = ["source", "kind", "embodiment", "Hz", "parts read", "of", "episodes", "steps", "size of frames"]
    head += ["rejects", "seconds"]
    blocks: list[str] = [
        page.paragraph(
            "One table with a row for each episode, of robots and people alike. A part is what one worker reads, such "
            "as a file; each is committed exactly once, however often the command is stopped."
        ),
        page.table(head, rows),
        page.heading("Rejected records"),
    ]
    if not summary.rejects:
        return [*blocks, page.paragraph("None: every record could be read.")]
    more = len(summary.rejects) - MAX_REJECTS
    shown = [[r.source, r.record, r.reason] for r in summary.rejects[:MAX_REJECTS]]
    blocks.append(page.table(["source", "record", "why"], shown))
    if more > 0:
        blocks.append(page.paragraph(f"And {more:,} more in rejects.lance."))
    return blocks


def curation(summary: DemoSummary) -> list[str]:
    """Say what each rule dropped, and what is left of each embodiment."""
    blocks: list[str] = []
    if summary.curation:
        kept, total = summary.curation.kept, summary.curation.episodes
        blocks.append(
            page.paragraph(
                f"{kept:,} of {total:,} episodes are kept. Dropped ones stay in the corpus with the reason, and "
                "nothing is trained on them. A rule is asked about the episodes of its kind (of robots, or of people) "
                "that no rule before it dropped."
            )
        )
        rules = summary.curation.rules
        rows = [[r.rule, r.judged, r.not_judged, r.dropped, r.example] for r in rules]
        blocks.append(page.table(["rule", "judged", "not judged", "dropped", "for example"], rows))
        told = told_together({r.rule: r.notes for r in rules})
        if told:
            blocks.append(page.note("What rules could not judge, or found wrong with a whole dataset.", told))
    if summary.stats:
        blocks.append(page.heading("What is left of each embodiment"))
        stats = [[s.embodiment, s.episodes, s.steps, s.state_dim, s.action_dim] for s in summary.stats]
        blocks.append(page.table(["embodiment", "episodes", "steps", "state dims", "action dims"], stats))
    return blocks


def labels(summary: DemoSummary) -> list[str]:
    """Say what was written into the corpus, and what left it."""
    blocks: list[str] = []
    if summary.labels:
        rows = [[label.lam, label.episodes, label.steps, label.seconds] for label in summary.labels]
        blocks.append(page.paragraph(LABELS))
        blocks.append(page.table(["name of the labels", "episodes", "labelled steps", "seconds"], rows))
    if summary.shards:
        s = summary.shards
        head = ["shards", "episodes", "steps", "size", "seconds"]
        blocks.append(page.table(head, [[s.shards, s.episodes, s.steps, human_bytes(s.num_bytes), s.seconds]]))
    return blocks
