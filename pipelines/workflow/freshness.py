"""What a change would do again, and why: a stage's settings and inputs against those of its last call."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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

    def digest(self, defaults: Mapping[str, Any]) -> str:
        """Hash it for the name of a folder; settings that have their defaults, such as new ones, leave it as it was."""
        plain = _flat(defaults)
        settings = {
            key: value for key, value in _flat(self.settings).items() if key not in plain or plain[key] != value
        }
        inputs = sorted((_kind(name), identity) for name, identity in self.inputs.items())
        return hex_digest(json.dumps([settings, inputs], sort_keys=True), 4)


@dataclass(frozen=True)
class Verdict:
    """Whether a stage is to run."""

    fingerprint: Fingerprint
    why: Sequence[str] = field(default_factory=list)
    """Reasons to run it; none for a stage that is done."""
    moves_output: bool = False
    """Whether its former output must make room, since the command cannot go on with that."""


class Unsettled(NamedTuple):
    """What is about to be made anew: nobody knows yet whether it comes out otherwise."""

    stages: Collection[str] = ()
    written: Sequence[Artifact] = ()


SETTLED = Unsettled()


def fingerprint_of(stage: Stage, known: Identities) -> tuple[Fingerprint, list[str]]:
    """Take the fingerprint of a stage, with reasons why it is not done whatever it is."""
    inputs = _identities(stage.reads, known)
    inputs |= {f"file {path}": known.sha256(path) for path in stage.files()}
    why = []
    if stage.command.name == "ingest":
        from pipelines.workflow.raw import raw_parts

        try:
            inputs[RAW], left = raw_parts(stage.config)
            why = [f"{left} {'part is' if left == 1 else 'parts are'} not in the corpus"] if left else []
        except DataEngineError as error:
            inputs[RAW], why = ABSENT, [str(error)]
    settings = dict(stage.command.counted(stage.config))
    return Fingerprint(_plain(settings), inputs), why


def look(stage: Stage, record: StageRecord | None, known: Identities, unsettled: Unsettled = SETTLED) -> Verdict:
    """Compare a stage with its last call; what follows from what is unsettled is no reason."""
    fingerprint, why = fingerprint_of(stage, known)
    if record is None:
        return Verdict(fingerprint, ["has not run yet"])
    differing = _changed(stage, record, fingerprint)
    changed = [key for key in differing if not stage.refers.get(key.partition(".")[0], set()) & set(unsettled.stages)]
    inputs = _differing(record.inputs, fingerprint.inputs)
    titles = zip(_titles(stage.reads), stage.reads, strict=True)
    open_ = {title for title, read in titles if any(read.comes_after(written) for written in unsettled.written)}
    is_named_anew = len(changed) < len(differing)  # and what it reads and writes with it
    inputs = [name for name in inputs if name not in open_ and not (is_named_anew and name not in fingerprint.inputs)]
    before = {"running": "was stopped", "failed": "failed", "done": ""}[record.state]
    outputs = _output_changes(stage, record, known) if record.state == "done" and not is_named_anew else []
    reasons = [
        *_described(record.settings, fingerprint.settings, changed),
        *(f"input changed: {name}" for name in inputs),
        *([before] if before else []),
        *outputs,
        *why,
    ]
    kept = stage.command.kept_on_resume(stage.config)
    is_shorter = "steps" in changed and _is_less(fingerprint.settings.get("steps"), record.settings.get("steps"))
    cannot_go_on = bool(inputs) or is_shorter or any(key.partition(".")[0] in kept for key in changed)
    return Verdict(fingerprint, list(dict.fromkeys(reasons)), stage.command.replaces_output and cannot_go_on)


def outputs_of(stage: Stage, known: Identities) -> dict[str, str]:
    """Give the identity of what a stage wrote; a corpus's episodes are written by others, too."""
    return _identities([artifact for artifact in stage.writes if artifact.kind != "episodes"], known)


def _is_less(now: Any, before: Any) -> bool:
    return isinstance(now, int) and isinstance(before, int) and now < before


def _changed(stage: Stage, record: StageRecord, now: Fingerprint) -> list[str]:
    """Name the settings that differ from those of the last call.

    One that the program did not have then, or has no more, is no change: unless the new one has another value than by
    default. Of a model all settings are noted, so one that is not is new, too.
    """
    before, after, defaults = _flat(record.settings), _flat(now.settings), _flat(stage.command.defaults())
    fields = type(stage.config).model_fields.keys()
    new = [
        key
        for key, value in after.items()
        if key not in before and not key.startswith("model.") and (key not in defaults or defaults[key] != value)
    ]
    gone = [key for key in before if key not in after and key.partition(".")[0] in fields - {"model"}]
    return [*(key for key in before if key in after and before[key] != after[key]), *new, *gone]


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give nested settings by keys with dots, as JSON has them."""
    return dict(flat(_plain(dict(flat(settings)))))


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(dict(settings), default=str)))


def _identities(artifacts: Sequence[Artifact], known: Identities) -> dict[str, str]:
    return {title: known.of(artifact) for title, artifact in zip(_titles(artifacts), artifacts, strict=True)}


def _titles(artifacts: Sequence[Artifact]) -> list[str]:
    """Name artifacts for people, the same wherever a run's folder lies."""
    names = [f"{artifact.kind} {artifact.name}".strip() for artifact in artifacts]
    lasts = [artifact.path.rstrip("/").rpartition("/")[2] for artifact in artifacts]
    titles = [f"{name} of {last}" for name, last in zip(names, lasts, strict=True)]
    return [
        title if titles.count(title) == 1 else f"{name} of {artifact.uri}"
        for title, name, artifact in zip(titles, names, artifacts, strict=True)
    ]


def _output_changes(stage: Stage, record: StageRecord, known: Identities) -> list[str]:
    now = outputs_of(stage, known)
    gone = [name for name, identity in now.items() if identity == ABSENT]
    return [
        *(f"output is not there: {name}" for name in gone),
        *(f"output was changed: {name}" for name in _differing(record.outputs, now) if now.get(name)),
    ]


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name what differs; the same under another name, of a folder that was moved, does not."""
    gone = {name: before[name] for name in before if name not in now}
    differing = []
    for name, identity in now.items():
        if name in before:
            differing += [name] if before[name] != identity else []
            continue
        same = [n for n, other in gone.items() if (_kind(n), other) == (_kind(name), identity)]
        moved = same or [n for n in gone if _kind(n) == _kind(name)]
        if moved:
            del gone[moved[0]]
        differing += [] if same else [name]
    return [*differing, *gone]


def _kind(name: str) -> str:
    """Give what a name says of an artifact beside where it lies."""
    return name.partition(" of ")[0]


def _described(before: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Name settings that differ, with their values."""
    old, new = _flat(before), _flat(now)
    named = [f"{name} {_short(old.get(name))} -> {_short(new.get(name))}" for name in names[:MOST_NAMED]]
    more = [f"and {len(names) - MOST_NAMED} more settings"] if len(names) > MOST_NAMED else []
    return [*named, *more]


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
