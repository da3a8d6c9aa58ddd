"""The status page of a pipeline: written anew whenever a stage begins or ends."""

import os
from pathlib import Path

from dataengine.whole_file import write_whole
from pipelines.html.page import Section, cards, meter, page
from pipelines.html.templates import macros
from pipelines.output.text_table import human_seconds
from pipelines.workflow.report import PipelineReport
from pipelines.workflow.state import PAGE

TEMPLATE = "workflow/page.html"


def write_page(folder: Path, report: PipelineReport, command: str) -> None:
    """Write it, whole or not at all."""
    html = macros(TEMPLATE)
    longest = max((s.seconds for s in report.stages), default=0.0) or 1.0
    rows = [
        [
            html.stage(s.stage, _link(folder, s.page), _link(folder, s.log)),
            *(s.command, s.state, _time(s.seconds), s.says(), meter(s.seconds / longest)),
        ]
        for s in report.stages
    ]
    errors = [f"{s.stage}: {s.error}" for s in report.stages if s.error]
    notes = [f"{s.stage}: {note}" for s in report.stages for note in s.notes]
    top = (html.failed(errors) if errors else "") + (html.noted(notes) if notes else "")
    lines = [(s.stage, s.line) for s in report.stages if s.line]
    sections = [
        Section("stages", "Stages", html.stages(rows)),
        Section("again", "How to do it again", html.lines(command, lines)),
    ]
    text = page(f"Pipeline {Path(report.file).stem}", _lead(report), _cards(report) + top, sections, _foot())
    write_whole(folder / PAGE, text)


def _time(seconds: float) -> str:
    """Keep number and unit on one line."""
    return human_seconds(seconds).replace(" ", "\N{NO-BREAK SPACE}") if seconds else ""


def _lead(report: PipelineReport) -> str:
    return f"{report.file}, in {report.out}: a stage is done again only when its settings or inputs have changed."


def _cards(report: PipelineReport) -> str:
    """Count stages, and time."""
    states = [s.state for s in report.stages]
    done, total = states.count("done"), len(states)
    now = [s.stage for s in report.stages if s.state == "running"]
    seconds = sum(s.seconds for s in report.stages)
    return cards(
        [
            (f"{done}/{total}", "stages done", f"running: {', '.join(now)}" if now else ""),
            (human_seconds(seconds) if seconds else "0 s", "at work", "all stages together"),
        ]
    )


def _foot() -> str:
    return "Written by villa pipeline from pipeline.json beside this page."


def _link(folder: Path, file: str) -> str:
    """Give the address of a file from the page's folder."""
    return os.path.relpath(file, folder) if file else ""
