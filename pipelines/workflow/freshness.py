"""What a change would do again, and why: a stage's settings and inputs against those of its last call."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataengine.digest import hex_digest
from dataengine.errors import DataEngineError
from pipelines.training.presets import flat
from pipelines.workflow.artifacts import ABSENT, Artifact, Identities
from pipelines.workflow.stage import Stage
from pipelines.workflow.state import StageRecord

MOST_NAMED = 4
"""Changed settings that are named, each with its values."""
RAW = "raw recordings"


@dataclass(frozen=True)
class Fingerprint:
    """What the results of a stage depend on."""

    settings: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Hash it for the name of a folder."""
        return hex_digest(json.dumps([dict(self.settings), dict(self.inputs)], sort_keys=True), 4)


@dataclass(frozen=True)
class Verdict:
    """Whether a stage is to run."""

    fingerprint: Fingerprint
    why: Sequence[str] = field(default_factory=list)
    """Reasons to run it; none for a stage that is done."""
    moves_output: bool = False
    """Whether its former output must make room, since the command cannot go on with that."""


def fingerprint_of(stage: Stage, known: Identities) -> tuple[Fingerprint, list[str]]:
    """Take the fingerprint of a stage, with reasons why it is not done whatever it is."""
    inputs = _identities(stage.reads, known)
    inputs |= {f"file {path}": known.sha256(path) for path in stage.files()}
    why = []
    if stage.command.name == "ingest":
        from pipelines.workflow.raw import raw_parts

        try:
            inputs[RAW], left = raw_parts(stage.config)
            why = [f"{left} parts are not in the corpus"] if left else []
        except DataEngineError as error:
            inputs[RAW], why = ABSENT, [str(error)]
    settings = json.loads(json.dumps(stage.command.counted(stage.config), default=str))
    return Fingerprint(settings, inputs), why


def look(stage: Stage, record: StageRecord | None, known: Identities) -> Verdict:
    """Compare a stage with its last call."""
    fingerprint, why = fingerprint_of(stage, known)
    if record is None:
        return Verdict(fingerprint, ["has not run yet"])
    changed = _changes(dict(flat(record.settings)), dict(flat(fingerprint.settings)))
    inputs = [f"input changed: {name}" for name in _differing(record.inputs, fingerprint.inputs)]
    before = {"running": "was stopped", "failed": "failed", "done": ""}[record.state]
    outputs = _output_changes(stage, record, known) if record.state == "done" else []
    reasons = [*changed, *inputs, *([before] if before else []), *outputs, *why]
    return Verdict(fingerprint, list(dict.fromkeys(reasons)), _moves(stage, record, fingerprint))


def outputs_of(stage: Stage, known: Identities) -> dict[str, str]:
    """Give the identity of what a stage wrote; a corpus's episodes are written by others, too."""
    return _identities([artifact for artifact in stage.writes if artifact.kind != "episodes"], known)


def _moves(stage: Stage, record: StageRecord, now: Fingerprint) -> bool:
    """Tell whether the former output is one that the command cannot go on with."""
    if not stage.command.replaces_output:
        return False
    kept = json.loads(json.dumps(stage.command.kept_on_resume(stage.config), default=str))
    then = {key: record.settings.get(key) for key in kept if key in now.settings}
    return then != {key: kept[key] for key in then} or dict(record.inputs) != dict(now.inputs)


def _identities(artifacts: Sequence[Artifact], known: Identities) -> dict[str, str]:
    """Give identities by names for people, the same wherever a run's folder lies."""
    names = [f"{artifact.kind} {artifact.name}".strip() for artifact in artifacts]
    lasts = [artifact.path.rstrip("/").rpartition("/")[2] for artifact in artifacts]
    titles = [f"{name} of {last}" for name, last in zip(names, lasts, strict=True)]
    return {
        title if titles.count(title) == 1 else f"{name} of {artifact.uri}": known.of(artifact)
        for title, name, artifact in zip(titles, names, artifacts, strict=True)
    }


def _output_changes(stage: Stage, record: StageRecord, known: Identities) -> list[str]:
    now = outputs_of(stage, known)
    gone = [name for name, identity in now.items() if identity == ABSENT]
    return [
        *(f"output is not there: {name}" for name in gone),
        *(f"output was changed: {name}" for name in _differing(record.outputs, now) if name not in gone),
    ]


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name the settings that differ, with their values."""
    names = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    named = [f"{name} {_short(before.get(name))} -> {_short(now.get(name))}" for name in names[:MOST_NAMED]]
    more = [f"and {len(names) - MOST_NAMED} more settings"] if len(names) > MOST_NAMED else []
    return [*named, *more]


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
