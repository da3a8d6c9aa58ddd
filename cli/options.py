"""Every setting of a command as an option of it, made from the command's Config once that command is asked for."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
        return f"Settings below {outer}" if dot else "Settings"

    def help(self) -> tuple[str, str]:
        """Give what to type, and what it does."""
        text = " ".join((self.info.description or "").split())
        shown = f"{self.flag} / {self.negated}" if self.is_switch else f"{self.flag} {_metavar(self.info)}"
        return shown, f"{text}{'  ' if text else ''}{_default(self.info)}"


class SettingsCommand(typer.core.TyperCommand):
    """A command whose settings are options: `--batch-size 32` is `--set batch_size=32`.

    They go before `--config`, and `--set` goes before them.
    """

    configs: ClassVar[tuple[str, ...]] = ()
    """Classes of settings, as `module:Class`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn options that are settings into `--set`, in front of all others."""
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
                given += ["--set", f"{key}={value if equals else str(on).lower()}"]
            elif flag in self._flags:
                following = value if equals else next(rest, None)
                if following is None:
                    raise BadParameter(f"option '{flag}' needs a value", ctx)
                given += ["--set", f"{self._flags[flag]}={following}"]
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
        named = {p.name for p in self.params}
        found: dict[str, Setting] = {}
        for path in self.configs:
            module, _, name = path.partition(":")
            for key, info in leaves(getattr(importlib.import_module(module), name)):
                if key not in named:
                    found.setdefault(key, Setting(key, info))
        return [*found.values()]

    @cached_property
    def _flags(self) -> Mapping[str, str]:
        """Keys by option."""
        return {setting.flag: setting.key for setting in self._settings}

    @cached_property
    def _switches(self) -> Mapping[str, tuple[str, bool]]:
        """Keys by option that takes no value, and what it sets them to."""
        switches = [setting for setting in self._settings if setting.is_switch]
        on = {setting.flag: (setting.key, True) for setting in switches}
        return on | {setting.negated: (setting.key, False) for setting in switches}


def command_class(configs: tuple[str, ...]) -> type[SettingsCommand]:
    """Make the class of a command with these settings."""
    return type("SettingsCommand", (SettingsCommand,), {"configs": configs})


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
