"""Why parts that a corpus holds are not what is planned now: other files, other settings, or another folder."""

import json
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from dataengine.options import options_of
from dataengine.storage import normal_uri
from dataengine.store import Corpus
from dataengine.store.kept import is_one_of
from pipelines.ingest.jobs import Job
from pipelines.ingest.report import Change, few

MOST_NAMED = 3
"""Parts that a command to drop them names; more of them are the whole dataset."""


def changes(corpus: Corpus, job: Job, part_ids: Iterable[str]) -> list[Change]:
    """Sort parts by what differs from the run that committed them."""
    changed = sorted(part_ids)
    if not changed:
        return []
    runs = configs(corpus)
    read_by = dict(corpus.distinct(["part_id", "run_id"], is_one_of("part_id", changed)))
    by_reason: dict[tuple[str, bool], list[str]] = {}
    for part_id in changed:
        why = _why(job, runs.get(read_by.get(part_id, ""), {}))
        by_reason.setdefault(why, []).append(job.parts[part_id].name)
    return [
        Change(reason=reason, parts=sorted(names), advice=_advice(corpus, job, names, is_elsewhere=is_elsewhere))
        for (reason, is_elsewhere), names in sorted(by_reason.items())
    ]


def configs(corpus: Corpus) -> dict[str, Mapping[str, Any]]:
    """Read what each ingest wrote down of itself, by its id; nothing where that is damaged."""
    by_run: dict[str, Mapping[str, Any]] = {}
    for run in corpus.runs().select(["run_id", "command", "config"]).to_pylist():
        if run["command"] == "ingest":
            with suppress(ValueError, TypeError):
                config = json.loads(run["config"])
                by_run[run["run_id"]] = config if isinstance(config, dict) else {}
    return by_run


def other_names(corpus: Corpus, job: Job, source: object) -> list[str]:
    """List datasets of other names that the corpus holds of the same folder, read by the same source."""
    root, names = normal_uri(job.report.root), set[str]()
    for config in configs(corpus).values():
        if source is not None and config.get("source") == source and root in config.get("roots", ()):
            names.update(config.get("settings") or ())
    return sorted(name for name in names - {job.source.name} if corpus.count(is_one_of("dataset", [name])))


def _why(job: Job, config: Mapping[str, Any]) -> tuple[str, bool]:
    """Say what differs, and whether the part came from elsewhere; of a run that wrote nothing down, its files."""
    roots, root = config.get("roots") or [], normal_uri(job.report.root)
    if roots and root not in roots:
        return f"came in from {few(roots)}", True
    before = dict(config.get("settings") or {}).get(job.source.name, [job.settings])
    if job.settings not in before:
        return f"read with {' or '.join(before)}, now {job.settings}", False
    return "changed since they were committed", False


def _advice(corpus: Corpus, job: Job, names: list[str], *, is_elsewhere: bool) -> str:
    dataset = job.source.name
    command = ["villa", "corpus", "drop", corpus.uri, dataset]
    if len(names) <= min(MOST_NAMED, len(job.parts) - 1):
        command += [word for name in sorted(names) for word in ("--part", name)]
    advice = f"to take the new version, `{shlex.join(command)} --yes`, then ingest again"
    if is_elsewhere and any(option.name == "dataset" for option in options_of(type(job.source))):
        return f"if {job.report.root} is another dataset, give it a name of its own with --dataset; {advice}"
    return advice
