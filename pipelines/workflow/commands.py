"""The commands that a stage may run: their settings, what they read, and what they write."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataengine.config import Config
from dataengine.errors import DataEngineError
from dataengine.naming import class_at, did_you_mean
from dataengine.windows.labels import label_name
from pipelines.workflow.artifacts import Artifact

UNCOUNTED = frozenset(
    {
        *("corpus", "data", "out", "root", "lam", "policy", "checkpoint", "lams", "report", "page", "device", "engine"),
        *("workers", "threads", "processes", "num_envs", "ray_address", "dry_run", "stall_s", "memory_gb", "batch"),
        *("cache_mb", "max_attempts"),
    }
)
"""Settings that say where things lie and how hard to work: results do not depend on them, or know them otherwise."""
BASELINES = ("random", "replay", "expert")


@dataclass(frozen=True)
class StageCommand:
    """One command."""

    name: str
    """As on the command line, or `module:Class`."""
    config: str
    """Class of its settings, `module:Class`."""
    arguments: Sequence[str] = ()
    """Settings that stand on the command line without their names, in this order."""
    reads: Callable[[Any], Sequence[Artifact]] = lambda config: ()
    writes: Callable[[Any], Sequence[Artifact]] = lambda config: ()
    output: str = "{out}"
    """What another stage means that refers to this one, by the settings."""
    replaces_output: bool = False
    """Whether what an earlier call of other settings left must make room, since the command goes on with nothing else's
    output."""

    @property
    def is_own(self) -> bool:
        """Tell whether it is somebody's own Config, with a function `run` beside it."""
        return ":" in self.name

    def config_class(self) -> type[Config]:
        """Import the class of its settings; raise DataEngineError for an own one that cannot be imported."""
        if self.is_own:
            kind = class_at("command", self.config)
            if not issubclass(kind, Config) or not callable(
                getattr(importlib.import_module(kind.__module__), "run", 0)
            ):
                raise DataEngineError(f"no command '{self.name}': expected a Config with a function `run` beside it")
            return kind
        module, _, name = self.config.partition(":")
        return getattr(importlib.import_module(module), name)

    def counted(self, config: Config) -> Mapping[str, Any]:
        """Give the settings that its results depend on."""
        recorded = getattr(config, "recorded", None)  # a training's
        settings = recorded() if recorded else config.model_dump(mode="json")
        return {key: value for key, value in settings.items() if key not in UNCOUNTED}

    def defaults(self) -> Mapping[str, Any]:
        """Give the defaults of its settings, those that have one."""
        fields = self.config_class().model_fields
        return {k: i.get_default(call_default_factory=True) for k, i in fields.items() if not i.is_required()}

    def kept_on_resume(self, config: Config) -> Mapping[str, Any]:
        """Give those with another value of which it cannot go on with its own output."""
        fixed = getattr(config, "fixed_on_resume", None)
        return fixed() if fixed else self.counted(config)


def _of_corpus(*kinds: str) -> Callable[[Any], Sequence[Artifact]]:
    return lambda config: [Artifact(kind, str(config.corpus)) for kind in kinds]


def _at_out(kind: str) -> Callable[[Any], Sequence[Artifact]]:
    return lambda config: [Artifact(kind, str(config.out))] if config.out else []


def _training(config: Any) -> Sequence[Artifact]:
    """Say what a training reads: data, latent actions of a policy's and a world model's, and other models."""
    named = "latent" in type(config).model_fields and getattr(config, "use_latent", True)
    has_plan = named and getattr(config, "lam", None) is None  # which computes them while it trains
    latents = [Artifact("latents", config.data, config.latent or "")] if has_plan else []
    others = [getattr(config, key, None) for key in ("lam", "checkpoint", "init")]
    return [Artifact("data", config.data), *latents, *(Artifact("model", str(folder)) for folder in others if folder)]


def _label(config: Any) -> Sequence[Artifact]:
    return [Artifact("kept", config.corpus), Artifact("model", str(config.lam))]


def _labels(config: Any) -> Sequence[Artifact]:
    return [Artifact("latents", config.corpus, label_name(config.name or Path(config.lam).name))]


def _shard(config: Any) -> Sequence[Artifact]:
    names = [""] if config.latents is None else config.latents
    written = [Artifact("latents", config.corpus, name) for name in names]
    return [Artifact("kept", config.corpus), Artifact("statistics", config.corpus), *written]


def _probe(config: Any) -> Sequence[Artifact]:
    folders = [lam.rpartition("=")[2] for lam in config.lams]
    models = [Artifact("model", folder) for folder in folders if "/" in folder]
    labels = [Artifact("latents", config.corpus, folder) for folder in folders if "/" not in folder]
    return [Artifact("kept", config.corpus), Artifact("statistics", config.corpus), *models, *labels]


def _lam_report(config: Any) -> Sequence[Artifact]:
    return [Artifact("kept", config.corpus), Artifact("model", str(config.lam))]


def _eval(config: Any) -> Sequence[Artifact]:
    policy = [] if config.policy in BASELINES else [Artifact("model", config.policy)]
    return [*policy, *([Artifact("kept", config.demonstrations)] if config.demonstrations else [])]


def _snapshot(config: Any) -> Sequence[Artifact]:
    return [Artifact("snapshot", f"{config.corpus}@{config.name}")]


def _training_command(name: str, config: str, *arguments: str) -> StageCommand:
    return StageCommand(
        name, config, (*arguments, "data"), reads=_training, writes=_at_out("model"), replaces_output=True
    )


COMMANDS: Mapping[str, StageCommand] = {
    each.name: each
    for each in (
        StageCommand(
            "ingest",
            "pipelines.ingest.config:IngestConfig",
            ("source", "root"),
            writes=_of_corpus("episodes"),
            output="{corpus}",
        ),
        StageCommand(
            "hands",
            "pipelines.curate.hands.hands:HandsConfig",
            ("corpus",),
            _of_corpus("episodes"),
            _of_corpus("hands"),
            output="{corpus}",
        ),
        StageCommand(
            "curate",
            "pipelines.curate:CurateConfig",
            ("corpus",),
            _of_corpus("episodes", "hands"),
            _of_corpus("kept"),
            output="{corpus}",
        ),
        StageCommand(
            "stats",
            "pipelines.stats:StatsConfig",
            ("corpus",),
            _of_corpus("kept"),
            _of_corpus("statistics"),
            output="{corpus}",
        ),
        StageCommand(
            "corpus snapshot",
            "pipelines.corpus.versions:SnapshotConfig",
            ("corpus", "name"),
            _of_corpus("data"),
            _snapshot,
            output="{corpus}@{name}",
        ),
        _training_command("train lam", "pipelines.training.lam.config:TrainLamConfig"),
        _training_command("train act", "pipelines.training.act.config:TrainActConfig"),
        _training_command("train world", "pipelines.training.world.config:TrainWorldConfig"),
        _training_command("finetune", "pipelines.training.finetune.config:FinetuneConfig", "checkpoint"),
        StageCommand("label", "pipelines.label.config:LabelConfig", ("corpus",), _label, _labels, output="{name}"),
        StageCommand(
            "shard", "pipelines.shard:ShardConfig", ("corpus",), _shard, _at_out("shards"), replaces_output=True
        ),
        StageCommand(
            "export lerobot",
            "pipelines.export.lerobot:ExportConfig",
            ("corpus",),
            _of_corpus("kept"),
            _at_out("folder"),
            replaces_output=True,
        ),
        StageCommand("probe", "pipelines.analysis.probe.probe:ProbeConfig", ("corpus",), _probe, _at_out("folder")),
        StageCommand(
            "lam report",
            "pipelines.analysis.lam_report.lam_report:LamReportConfig",
            ("corpus",),
            _lam_report,
            _at_out("folder"),
        ),
        StageCommand(
            "eval", "pipelines.evaluation.config:EvalConfig", ("simulator", "policy"), _eval, _at_out("folder")
        ),
    )
}
PLAN = StageCommand(
    "ingest", "pipelines.ingest.plan:IngestPlanConfig", (), writes=_of_corpus("episodes"), output="{corpus}"
)
"""`villa ingest` of many datasets."""


def command_of(name: str, settings: Mapping[str, Any]) -> StageCommand:
    """Find a command; raise DataEngineError with a near one where there is none."""
    if ":" in name:
        return StageCommand(name, name)
    if name not in COMMANDS:
        raise DataEngineError(f"no command '{name}' for a stage; {did_you_mean(name, COMMANDS)}")
    return PLAN if name == "ingest" and "plan" in settings else COMMANDS[name]
