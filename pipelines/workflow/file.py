"""Reads a pipeline's file: settings laid over a base, references filled in, each stage's settings checked."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from pathlib import Path
from string import Formatter
from typing import Any

import yaml
from pydantic import ValidationError

from dataengine.errors import DataEngineError
from dataengine.naming import did_you_mean
from dataengine.setting_errors import explain
from models.config import merged
from models.fingerprint import fingerprint
from pipelines.recipes import recipes
from pipelines.workflow.artifacts import Artifact
from pipelines.workflow.commands import StageCommand, command_of
from pipelines.workflow.config import PipelineFile, StageSettings
from pipelines.workflow.stage import Stage, texts_in

KIND = "pipeline"
REFERENCE = re.compile(r"\$\{([^{}]*)\}")
IN_FILE = "add '{key}: ...' to its settings"
LAM_LETTERS = 6
"""Of a model's fingerprint, in the name of labels that nobody named: another model's get another name."""


class PipelineError(DataEngineError):
    """A file in which something is wrong; `details` has a line for each further thing."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems[0])
        self.details = tuple(problems[1:])


class _CircleError(DataEngineError):
    """References that lead back to where they began."""


class _ElsewhereError(DataEngineError):
    """Something is wrong with a stage that is referred to, which says so itself."""


class Pipeline:
    """A file's stages, in order of dependence."""

    def __init__(self, path: str, out: Path | None = None, variables: Mapping[str, Any] | None = None) -> None:
        content, self._lines = _read(path)
        self.path = path
        self.settings = _validated(path, content)
        given = str(out) if out else self.settings.out
        self.out = str(Path(given or f"runs/{Path(path).stem}").expanduser())
        self._check_variables(variables or {})
        self.variables = {**self.settings.vars, **(variables or {}), "out": self.out}
        self.variables["corpus"] = self._filled(self.settings.corpus, ())
        self._check_names()
        self.stages = self._checked()
        self.order = self._ordered()

    @property
    def writers(self) -> Mapping[str, list[Artifact]]:
        """Give what each stage writes, by its name."""
        return {name: list(stage.writes) for name, stage in self.stages.items()}

    def stage(self, name: str) -> Stage:
        """Make a stage anew: what it reads may have got its name since the file was read."""
        return self._made(name)

    def needs(self, name: str) -> list[str]:
        """Name the stages that must be done before this one, in the file's order."""
        return list(self._needs[name])

    def upstream(self, name: str) -> set[str]:
        """Name a stage and all that it needs, at any distance."""
        return {name}.union(*(self.upstream(each) for each in self.needs(name)))

    def output(self, name: str, asking: tuple[str, ...] = ()) -> str:
        """Give what a reference to a stage stands for: a folder, a corpus, the name of labels."""
        if name in asking:
            raise _CircleError(f"the outputs of {' and '.join(asking)} refer to one another")
        try:
            return self._output(name, (*asking, name))
        except _CircleError:
            raise
        except DataEngineError as error:
            raise _ElsewhereError(str(error)) from None

    def _output(self, name: str, asking: tuple[str, ...]) -> str:
        settings = self.settings.stages[name]
        if settings.outputs:
            return str(self._filled(settings.outputs[0], asking))
        command = command_of(settings.command, settings.settings)
        keys = [key for _, key, _, _ in Formatter().parse(command.output) if key]
        values = self._with_defaults(name, command, asking, only=keys)
        if missing := [key for key in keys if key not in values]:
            raise DataEngineError(f"'{missing[0]}' is missing; {IN_FILE.format(key=missing[0])}")
        return command.output.format_map(values)

    def known(self, name: str | None, option: str) -> None:
        """Raise DataEngineError for a stage that there is not."""
        if name is not None and name not in self.stages:
            raise DataEngineError(f"no stage '{name}' for --{option}; {did_you_mean(name, self.stages)}")

    def where(self, name: str) -> str:
        """Say where a stage stands in the file."""
        line = self._lines.get(name)
        return f"{self.path}{f':{line}' if line else ''}: stage '{name}'"

    @cached_property
    def _needs(self) -> Mapping[str, list[str]]:
        needs = {}
        for name, stage in self.stages.items():
            others = [each for each in self.stages if each != name]
            needs[name] = [each for each in others if each in stage.after or stage.reads_from(self.stages[each])]
        return needs

    def _ordered(self) -> list[str]:
        """Sort stages by dependence, and as they stand in the file where that leaves a choice."""
        sorter = TopologicalSorter(self._needs)
        try:
            sorter.prepare()
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            raise DataEngineError(f"{self.path}: stages need one another in a circle: {circle}") from None
        order, position = list[str](), {name: i for i, name in enumerate(self.stages)}
        ready: list[str] = []
        while sorter.is_active():
            ready = sorted([*ready, *sorter.get_ready()], key=position.__getitem__)
            order.append(ready.pop(0))
            sorter.done(order[-1])
        return order

    def _check_variables(self, variables: Mapping[str, Any]) -> None:
        for name in variables:
            if name not in self.settings.vars:
                raise DataEngineError(f"{self.path}: no variable '{name}'; {did_you_mean(name, self.settings.vars)}")

    def _check_names(self) -> None:
        for name in self.settings.stages:
            if name in self.variables:
                raise DataEngineError(f"{self.where(name)}: a variable has this name, too; give one another name")
            for other in self.settings.stages[name].after:
                if other not in self.settings.stages:
                    hint = did_you_mean(other, self.settings.stages)
                    raise DataEngineError(f"{self.where(name)}: no stage '{other}' to run after; {hint}")

    def _checked(self) -> dict[str, Stage]:
        """Make every stage; raise PipelineError with a line for each that is wrong."""
        stages, problems = dict[str, Stage](), list[str]()
        for name in self.settings.stages:
            try:
                stages[name] = self._made(name)
            except _ElsewhereError:
                continue
            except DataEngineError as error:
                problems.append(f"{self.where(name)}: {error}")
        owners: dict[Artifact, str] = {}
        for name, stage in stages.items():
            for artifact in stage.writes:
                if artifact.kind != "episodes" and owners.setdefault(artifact, name) != name:
                    problems.append(
                        f"{self.where(name)}: writes {artifact.kind} of {artifact.uri}, as stage '{owners[artifact]}' "
                        f"does; leave one of them out, or give it another output"
                    )
        if problems:
            raise PipelineError(list(dict.fromkeys(problems)))
        return stages

    def _made(self, name: str) -> Stage:
        settings = self.settings.stages[name]
        command = command_of(settings.command, settings.settings)
        values = self._with_defaults(name, command, (name,))
        try:
            config = command.config_class().model_validate(values)
        except ValidationError as error:
            raise DataEngineError(explain(error, command.config_class(), IN_FILE)) from None
        except ValueError as error:
            raise DataEngineError(str(error)) from None
        inputs, outputs = (
            [Artifact("files", str(self._filled(path, (name,)))) for path in paths]
            for paths in (settings.inputs, settings.outputs)
        )
        if command.is_own and not outputs:
            raise DataEngineError(
                f"a command of one's own says what it writes; add 'outputs: [...]' beside {command.name}"
            )
        refers = self._refers(settings, command)
        return Stage(
            name=name,
            command=command,
            values=values,
            config=config,
            reads=(*command.reads(config), *inputs),
            writes=(*command.writes(config), *outputs),
            after=(*settings.after, *sorted(set().union(*refers.values()))),
            refers=refers,
            threads=settings.threads,
        )

    def _refers(self, settings: StageSettings, command: StageCommand) -> dict[str, set[str]]:
        """Name the stages that each setting refers to, and its inputs."""
        by_setting = {key: self._stages_in(value) for key, value in settings.settings.items()}
        if command.name == "label":  # the model names labels
            by_setting.setdefault("name", by_setting.get("lam", set()))
        return {**by_setting, "inputs": self._stages_in(list(settings.inputs))}

    def _stages_in(self, value: Any) -> set[str]:
        texts = texts_in(value)
        return {name for text in texts for name in REFERENCE.findall(text)} & self.settings.stages.keys()

    def _with_defaults(
        self, name: str, command: StageCommand, asking: tuple[str, ...], only: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Fill references in, and give what a stage leaves out: the corpus, a folder of its own, a name of labels."""
        given = self.settings.stages[name].settings
        wanted = given if only is None else {key: value for key, value in given.items() if key in (*only, "lam")}
        values: dict[str, Any] = {key: self._filled(value, asking) for key, value in wanted.items()}
        fields = command.config_class().model_fields
        if "corpus" in fields:
            values.setdefault("corpus", self.variables["corpus"])
        if "out" in fields:
            values.setdefault("out", f"{self.out}/{name}")
        if command.name == "label" and "name" not in given:
            values["name"] = _label_of(name, Path(str(values.get("lam", ""))))
        return values

    def _filled(self, value: Any, asking: tuple[str, ...]) -> Any:
        """Fill in references, also within lists and mappings; one that is all of a text keeps its kind."""
        if isinstance(value, Mapping):
            return {key: self._filled(each, asking) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each, asking) for each in value]
        if not isinstance(value, str):
            return value
        whole = REFERENCE.fullmatch(value)
        if whole:
            return self._value(whole[1], asking)
        return REFERENCE.sub(lambda match: str(self._value(match[1], asking)), value)

    def _value(self, name: str, asking: tuple[str, ...]) -> Any:
        if name in self.variables:
            return self._filled(self.variables[name], (*asking, name)) if name not in asking else _refuse_circle(name)
        if name in self.settings.stages:
            return self.output(name, asking)
        hint = did_you_mean(name, [*self.variables, *self.settings.stages])
        raise DataEngineError(f"'${{{name}}}' is neither a variable nor a stage; {hint}")


def _refuse_circle(name: str) -> Any:
    raise _CircleError(f"variable '{name}' refers to itself")


def _label_of(stage: str, lam: Path) -> str:
    """Name labels by their stage and the model that writes them, so that those of another model lie beside them."""
    try:
        return f"{stage}_{fingerprint(lam)[:LAM_LETTERS]}"
    except (OSError, ValueError, DataEngineError):  # it is not trained yet
        return stage


def _validated(path: str, content: dict[str, Any]) -> PipelineFile:
    try:
        return PipelineFile.model_validate(content)
    except ValidationError as error:
        raise DataEngineError(f"{path}: {explain(error, PipelineFile, IN_FILE)}") from None


def _read(name: str, seen: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a file over the one that it is based on, and at which line each stage stands."""
    if name in seen:
        raise DataEngineError(f"pipeline {name}: is based on itself, by {' and '.join(seen)}")
    content = recipes.load(KIND, name)
    lines = _stage_lines(name)
    base = content.get("base")
    if base is None:
        return content, lines
    if not isinstance(base, str):
        raise DataEngineError(f"pipeline {name}: base is {base!r:.80}, expected another pipeline's name or file")
    below, _ = _read(base, (*seen, name))
    return merged(below, content), lines


def _stage_lines(name: str) -> dict[str, int]:
    """Tell at which line each stage stands; raise DataEngineError for one that stands there twice."""
    shipped = name in recipes.names(KIND)
    file = resources.files("pipelines.recipes") / f"{KIND}_{name}.yaml" if shipped else Path(name)
    node = yaml.compose(file.read_bytes().decode("utf-8-sig"), yaml.SafeLoader)
    lines: dict[str, int] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == "stages" and isinstance(value, yaml.MappingNode):
            for stage, _ in value.value:
                if stage.value in lines:
                    raise DataEngineError(
                        f"{name}:{stage.start_mark.line + 1}: stage '{stage.value}' stands at line "
                        f"{lines[stage.value]} already; give one of them another name"
                    )
                lines[stage.value] = stage.start_mark.line + 1
    return lines
