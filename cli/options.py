"""Every setting of a command as an option of it, made from the command's Config once that command is asked for."""

import importlib
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from typer import BadParameter

from cli.help import Command, Rows, item_of, kinds_of, metavar
from cli.settings import former_keys, leaves
from dataengine.setting_errors import nearest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


TRUTH = ("true", "false")


@dataclass(frozen=True)
class Setting:
    """A setting as an option; its value is YAML, as with `--set`."""

    key: str
    info: "FieldInfo"
    by_preset: Mapping[str, Any]
    """Its default by preset, where there are presets."""
    by_data: bool = False
    """Whether the data decide it."""
    variant: str = ""
    """Option without which it does nothing."""

    @property
    def is_switch(self) -> bool:
        """True for what is on or off: `--proprio`, `--no-proprio`."""
        return self.info.annotation is bool

    @property
    def flag(self) -> str:
        """Write the option."""
        return "--" + self.key.replace("_", "-")

    @property
    def negated(self) -> str:
        """Write the option that switches it off."""
        outer, dot, last = self.flag.removeprefix("--").rpartition(".")
        return f"--{outer}{dot}no-{last}"

    @property
    def group(self) -> str:
        """Name its group in the help: nested settings stand by themselves."""
        outer, dot, _ = self.key.partition(".")
        if self.variant:
            return f"Settings with {self.variant}"
        return f"Settings of {outer}" if dot else "Settings"

    def help(self) -> tuple[str, str]:
        """Give what to type, and what it does."""
        text = " ".join((self.info.description or "").split())
        shown = f"{self.flag} / {self.negated}" if self.is_switch else f"{self.flag} {metavar(self.info.annotation)}"
        return shown, f"{text}{'  ' if text else ''}{self.default}"

    @property
    def default(self) -> str:
        """Say its default, where a line can hold it."""
        if self.by_data:
            return "[default: as the data have it]"
        default = None if self.info.is_required() else self.info.get_default(call_default_factory=True)
        values = {name: _shown(value) for name, value in self.by_preset.items()} or {"": _shown(default)}
        if len(set(values.values())) > 1:
            each = (f"{name} {value or 'null'}" for name, value in values.items())
            return f"[default: {', '.join(each)}]"
        (value,) = set(values.values())
        return f"[default: {value}]" if value else ""

    def override(self, value: str) -> str:
        """Write it as `--set` takes it: what is text stays text, whatever YAML would read in it; `a,b` is a list."""
        item = item_of(self.info.annotation)
        if item is not None and not value.lstrip().startswith("[") and value != "null":
            pieces = [piece.strip() for piece in value.split(",")]
            return f"{self.key}=[{', '.join(json.dumps(p) if _is_text(item) else p for p in pieces)}]"
        return f"{self.key}={json.dumps(value) if _is_text(self.info.annotation) else value}"


class SettingsCommand(Command):
    """A command whose settings are options: `--batch-size 32` is `--set batch_size=32`.

    They take precedence over `--config`, and `--set` over them.
    """

    configs: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Classes of settings, as `module:Class`, each by the option that chooses it; "" where no option does."""
    apart: ClassVar[tuple[str, ...]] = ()
    """Settings that the function has another way to give."""
    choices: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Functions that list what an option takes, as `module:function` or `module:function:argument`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn options that are settings into `--set`, in front of all others.

        With `--config` an argument may be left out: the file may hold it.
        """
        has_file = any(word.partition("=")[0] == "--config" for word in args)
        for parameter in self._required:
            parameter.required = not has_file
        rest, plain, given = deque(args), list[str](), list[str]()
        while rest:
            word = rest.popleft()
            flag, equals, value = word.partition("=")
            if word == "--":
                plain += [word, *rest]
                rest.clear()
            elif flag in self._own or not flag.startswith("--") or flag == "--help":
                plain += self._plain(word, rest)
            elif flag in self._switches:
                given += ["--set", self._switched(word, rest, ctx)]
            elif flag in self._flags:
                given += ["--set", self._flags[flag].override(value if equals else _value(flag, rest, ctx))]
            elif ctx.ignore_unknown_options:
                plain.append(word)
            else:
                raise BadParameter(f"no option '{flag}'; {nearest(flag, self.known_flags)}", ctx)
        return super().parse_args(ctx, [*given, *plain])

    def _plain(self, word: str, rest: deque[str]) -> list[str]:
        """Take an option or argument of the function, with its value; `--dry-run false` is no option at all."""
        flag, equals, value = word.partition("=")
        if flag not in self._own:
            return [word]
        if not getattr(self._own[flag], "is_flag", False):
            return [word, rest.popleft()] if not equals and rest else [word]
        if equals or (rest and rest[0] in TRUTH):
            said = value if equals else rest.popleft()
            return {"true": [flag], "false": []}.get(said, [word])
        return [word]

    def _switched(self, word: str, rest: deque[str], ctx: Any) -> str:
        """Read a setting that is on or off: `--proprio`, `--no-proprio`, `--proprio false`."""
        flag, equals, value = word.partition("=")
        key, on = self._switches[flag]
        if on and not equals and rest and rest[0] in TRUTH:
            value = rest.popleft()
        elif not equals:
            value = str(on).lower()
        if value not in TRUTH or (equals and not on):
            wanted = f"'{flag}' or '{flag} false'" if on else f"'{flag}' alone"
            raise BadParameter(f"found '{word}', expected {wanted}", ctx)
        return f"{key}={value}"

    def sections(self, ctx: Any) -> Iterator[tuple[str, Rows]]:
        """Give the groups of the help, what settings know of the function's options among it."""
        self.complete_help()
        yield from super().sections(ctx)

    def setting_sections(self) -> Iterator[tuple[str, Rows]]:
        """List the settings below the command's own options: its own first, then nested ones."""
        groups: dict[str, Rows] = {"Settings": []}
        for setting in self._settings:
            groups.setdefault(setting.group, []).append(setting.help())
        yield from groups.items()

    def complete_help(self) -> None:
        """Add to the help of the function's options what they take and their defaults, which settings know."""
        by_key = {setting.key: setting for setting in self._all_settings}
        parameters: Sequence[Any] = self.params
        for parameter in parameters:
            added = []
            if path := self.choices.get(parameter.name):
                module, function, *argument = path.split(":")
                added = [f"[known: {', '.join(getattr(importlib.import_module(module), function)(*argument))}]"]
            setting = by_key.get(parameter.name) or by_key.get(f"{parameter.name}s")
            if setting and parameter.default is None:
                added.append(setting.default)
            for sentence in added:
                if sentence and sentence not in (parameter.help or ""):
                    parameter.help = f"{parameter.help or ''}  {sentence}"

    @cached_property
    def _settings(self) -> Sequence[Setting]:
        """Every setting that is no parameter of the function."""
        # A list that is given piece by piece, `--task a --task b`, is the setting `tasks`.
        named = {name for p in self.params for name in (p.name, f"{p.name}s")} | set(self.apart)
        return [setting for setting in self._all_settings if setting.key not in named]

    @cached_property
    def _all_settings(self) -> Sequence[Setting]:
        settings: dict[str, Setting] = {}
        for variant, config in self.config_classes.items():
            presets, from_data = config.preset_defaults(), config.decided_by_data()
            for key, info in leaves(config):
                by_preset = {name: values[key] for name, values in presets.items() if key in values}
                settings.setdefault(key, Setting(key, info, by_preset, key in from_data, variant))
        return [*settings.values()]

    @cached_property
    def _own(self) -> Mapping[str, Any]:
        """Options of the function."""
        return {flag: p for p in self.params for flag in (*p.opts, *p.secondary_opts)}

    @cached_property
    def known_flags(self) -> Sequence[str]:
        """Every option that the help lists."""
        own = (flag for flag in self._own if flag.startswith("--"))
        off = (setting.negated for setting in self._settings if setting.is_switch)
        return [*own, *(setting.flag for setting in self._settings), *off]

    @cached_property
    def _required(self) -> Sequence[Any]:
        return [p for p in self.params if p.required]

    @cached_property
    def config_classes(self) -> Mapping[str, Any]:
        """Import the classes of settings, each by the option that chooses it."""
        paths = {variant: path.partition(":") for variant, path in self.configs.items()}
        return {variant: getattr(importlib.import_module(module), name) for variant, (module, _, name) in paths.items()}

    @cached_property
    def _flags(self) -> Mapping[str, Setting]:
        """Settings by option, those by their former names too; `--tasks a,b` is also `--task a --task b`."""
        whole = [s for s in self._all_settings if s.key not in self.apart and f"--{s.key[:-1]}" in self._own]
        return {setting.flag: setting for setting in (*self._former, *self._settings, *whole)}

    @cached_property
    def _former(self) -> Sequence[Setting]:
        """Settings by the names that they had in the last version."""
        now = {setting.key: setting for setting in self._settings}
        former = {old: new for config in self.config_classes.values() for old, new in former_keys(config)}
        return [replace(now[new], key=old) for old, new in former.items() if new in now]

    @cached_property
    def _switches(self) -> Mapping[str, tuple[str, bool]]:
        """Keys by option that takes no value, and what it sets them to."""
        switches = [setting for setting in (*self._former, *self._settings) if setting.is_switch]
        on = {setting.flag: (setting.key, True) for setting in switches}
        return on | {setting.negated: (setting.key, False) for setting in switches}


def command_class(
    configs: Mapping[str, str], apart: tuple[str, ...], choices: Mapping[str, str]
) -> type[SettingsCommand]:
    """Make the class of a command with these settings."""
    return type("SettingsCommand", (SettingsCommand,), {"configs": configs, "apart": apart, "choices": choices})


def _value(flag: str, rest: deque[str], ctx: Any) -> str:
    """Take the word behind an option; the next option is none."""
    if not rest or rest[0].startswith("--"):
        raise BadParameter(f"option '{flag}' needs a value", ctx)
    return rest.popleft()


def _is_text(annotation: Any) -> bool:
    """Tell whether a setting takes nothing but text."""
    kinds = set(kinds_of(annotation))
    return bool(kinds) and kinds <= {str, Path}


def _shown(value: Any) -> str:
    """Write a default that a line can hold; nothing for what holds nothing or too much."""
    from pydantic import BaseModel

    if value is None or isinstance(value, BaseModel) or value in ((), {}, [], ""):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(list(value) if isinstance(value, tuple) else value)
