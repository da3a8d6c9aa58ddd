"""How the help of a command is laid out: its arguments and options, its settings, then what every command has."""

import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

import typer.core

WIDTH = 110
"""Letters of a line at most, where the terminal is as wide."""
FIRST_COLUMN = 34
"""Letters of an option; longer ones stand on a line of their own."""
ON_EVERY_COMMAND = ("config_file", "overrides", "print_config", "as_json", "debug", "help")
"""Parameters that are listed last."""
NAMES: Mapping[Any, str] = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH", bool: "true|false"}

Rows = list[tuple[str, str]]


class Command(typer.core.TyperCommand):
    """A command whose help names what is most used first."""

    metavars: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """What each parameter of the function takes."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Write the usage as everybody does: `[OPTIONS] CORPUS [EPISODE]`."""
        return [
            "[OPTIONS]",
            *(_argument(p) for p in self.params if _is_argument(p) and not getattr(p, "hidden", False)),
        ]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group."""
        for title, rows in self.sections(ctx):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=FIRST_COLUMN)

    def sections(self, ctx: Any) -> Iterator[tuple[str, Rows]]:
        """Give the groups of the help, each with what to type and what it does."""
        groups: dict[str, Rows] = {"Arguments": [], "Options": [], "On every command": []}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                group = "On every command" if parameter.name in ON_EVERY_COMMAND else "Options"
                group = "Arguments" if _is_argument(parameter) else group
                groups[group].append((self._typed(parameter), record[1]))
        last = groups.pop("On every command")
        yield from groups.items()
        yield from self.setting_sections()
        yield "On every command", last

    def setting_sections(self) -> Iterator[tuple[str, Rows]]:
        """Give the groups of settings; a plain command has none."""
        yield from ()

    def _typed(self, parameter: Any) -> str:
        if _is_argument(parameter):
            return _argument(parameter).strip("[]")
        flags = ", ".join(parameter.opts) + "".join(f" / {flag}" for flag in parameter.secondary_opts)
        takes = "" if getattr(parameter, "is_flag", False) else self.metavars.get(parameter.name, "")
        return f"{flags} {takes}".rstrip()


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _argument(parameter: Any) -> str:
    """Write an argument: `CORPUS`, `[EPISODE]`, `[CORPUS...]`."""
    name = (parameter.metavar or parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def kinds_of(annotation: Any) -> list[Any]:
    """List the types that a value may have, without None."""
    if get_origin(annotation) is Annotated:
        return kinds_of(get_args(annotation)[0])
    if get_origin(annotation) in (types.UnionType, Union):
        return [kind for part in get_args(annotation) for kind in kinds_of(part)]
    return [] if annotation is type(None) else [annotation]


def item_of(annotation: Any) -> Any:
    """Find what a list holds; None for what is no list."""
    kinds = kinds_of(annotation)
    if len(kinds) == 1 and get_origin(kinds[0]) in (list, tuple) and get_args(kinds[0]):
        return get_args(kinds[0])[0]
    return None


def metavar(annotation: Any) -> str:
    """Name what an option takes, as short as can be."""
    kinds = kinds_of(annotation)
    if len(kinds) != 1:
        return "VALUE"
    (kind,) = kinds
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return "|".join(map(str, inner))
    if get_origin(kind) is tuple and inner[-1:] != (...,):
        return ",".join(map(metavar, inner))
    if item_of(kind) is not None:
        return f"{metavar(inner[0])},..."
    return NAMES.get(kind, "KEY: VALUE" if get_origin(kind) in (dict, Mapping) else "VALUE")
