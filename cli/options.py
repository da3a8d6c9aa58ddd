"""Every setting of a command as an option of it, made from the command's Config once that command is asked for."""

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args, get_origin

import typer.core
from typer import BadParameter

from cli.settings import leaves, nearest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Setting:
    """A setting as an option; its value is YAML, as with `--set`."""

    key: str
    info: "FieldInfo"
    by_preset: bool = False
    """Whether its default is another for each preset."""
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
        return f"Settings below {outer}" if dot else "Settings"

    def help(self) -> tuple[str, str]:
        """Give what to type, and what it does."""
        text = " ".join((self.info.description or "").split())
        shown = f"{self.flag} / {self.negated}" if self.is_switch else f"{self.flag} {_metavar(self.info)}"
        default = "[default: by preset]" if self.by_preset else _default(self.info)
        return shown, f"{text}{'  ' if text else ''}{default}"

    def override(self, value: str) -> str:
        """Write it as `--set` takes it: what is text stays text, whatever YAML would read in it."""
        return f"{self.key}={json.dumps(value) if _is_text(self.info.annotation) else value}"


class SettingsCommand(typer.core.TyperCommand):
    """A command whose settings are options: `--batch-size 32` is `--set batch_size=32`.

    They go before `--config`, and `--set` goes before them.
    """

    configs: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Classes of settings, as `module:Class`, each by the option that chooses it; "" where no option does."""
    apart: ClassVar[tuple[str, ...]] = ()
    """Settings that the function has another way to give."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn options that are settings into `--set`, in front of all others.

        With `--config` an argument may be left out: the file may hold it.
        """
        has_file = any(word.partition("=")[0] == "--config" for word in args)
        for parameter in self._required:
            parameter.required = not has_file
        own = {flag: p for p in self.params for flag in (*p.opts, *p.secondary_opts)}
        plain, given = [], []
        rest = iter(args)
        for word in rest:
            flag, equals, value = word.partition("=")
            if word == "--":
                plain += [word, *rest]
            elif flag in own or not flag.startswith("--") or flag == "--help":
                plain.append(word)
                takes_value = flag in own and not equals and not getattr(own[flag], "is_flag", False)
                plain += [following] if takes_value and (following := next(rest, None)) is not None else []
            elif flag in self._switches:
                key, on = self._switches[flag]
                if equals and (not on or value not in ("true", "false")):
                    raise BadParameter(f"found '{word}', expected '{flag}' alone, which takes no value", ctx)
                given += ["--set", f"{key}={value if equals else str(on).lower()}"]
            elif flag in self._flags:
                given += ["--set", self._flags[flag].override(value if equals else _value(flag, rest, ctx))]
            elif ctx.ignore_unknown_options:
                plain.append(word)
            else:
                raise BadParameter(f"no option '{flag}'; {nearest(flag, [*own, *self._flags, *self._switches])}", ctx)
        return super().parse_args(ctx, [*given, *plain])

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """List the settings below the command's own options, in groups."""
        super().format_options(ctx, formatter)
        for group in dict.fromkeys(setting.group for setting in self._settings):
            with formatter.section(group):
                formatter.write_dl([setting.help() for setting in self._settings if setting.group == group])

    @cached_property
    def _settings(self) -> Sequence[Setting]:
        """Every setting that is no parameter of the function."""
        # A list that is given piece by piece, `--task a --task b`, is the setting `tasks`.
        named = {name for p in self.params for name in (p.name, f"{p.name}s")} | set(self.apart)
        found: dict[str, Setting] = {}
        for variant, config in self.config_classes.items():
            by_preset = config.preset_keys() if hasattr(config, "preset_keys") else frozenset()
            for key, info in leaves(config):
                if key not in named:
                    preset = key in by_preset or key.partition(".")[0] in by_preset
                    found.setdefault(key, Setting(key, info, preset, variant))
        return [*found.values()]

    @cached_property
    def _required(self) -> Sequence[Any]:
        return [p for p in self.params if p.required]

    @cached_property
    def config_classes(self) -> Mapping[str, Any]:
        """Import the classes of settings, each by the option that chooses it."""
        found = {variant: path.partition(":") for variant, path in self.configs.items()}
        return {variant: getattr(importlib.import_module(module), name) for variant, (module, _, name) in found.items()}

    @cached_property
    def _flags(self) -> Mapping[str, Setting]:
        """Settings by option, those by their former names too."""
        now = {setting.key: setting for setting in self._settings}
        former = {
            f"--{old.replace('_', '-')}": Setting(old, now[new].info)
            for config in self.config_classes.values()
            for old, new in getattr(config, "renamed", {}).items()
            if new in now
        }
        return former | {setting.flag: setting for setting in self._settings}

    @cached_property
    def _switches(self) -> Mapping[str, tuple[str, bool]]:
        """Keys by option that takes no value, and what it sets them to."""
        switches = [setting for setting in self._settings if setting.is_switch]
        on = {setting.flag: (setting.key, True) for setting in switches}
        return on | {setting.negated: (setting.key, False) for setting in switches}


def command_class(configs: Mapping[str, str], apart: tuple[str, ...]) -> type[SettingsCommand]:
    """Make the class of a command with these settings."""
    return type("SettingsCommand", (SettingsCommand,), {"configs": configs, "apart": apart})


def _value(flag: str, rest: Iterator[str], ctx: Any) -> str:
    """Take the word behind an option; the next option is none."""
    found = next(rest, None)
    if found is None or found.startswith("--"):
        raise BadParameter(f"option '{flag}' needs a value", ctx)
    return found


def _is_text(annotation: Any) -> bool:
    """Tell whether a setting takes nothing but text."""
    kinds = set(get_args(annotation) or (annotation,)) - {type(None)}
    return bool(kinds) and kinds <= {str, Path}


def _metavar(info: "FieldInfo") -> str:
    """Name what an option takes, as short as can be."""
    if get_origin(info.annotation) is Literal:
        return "|".join(map(str, get_args(info.annotation)))
    words: Mapping[Any, str] = {int: "INTEGER", float: "NUMBER", str: "TEXT"}
    return words.get(info.annotation, "VALUE")


def _default(info: "FieldInfo") -> str:
    """Say a default that a line can hold."""
    from pydantic import BaseModel

    value = None if info.is_required() else info.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel) or value in ((), {}, [], ""):
        return ""
    shown = str(value).lower() if isinstance(value, bool) else list(value) if isinstance(value, tuple) else value
    return f"[default: {shown}]"
