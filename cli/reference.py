"""Reference pages made from the program itself, so that they cannot say anything else."""

import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from cli.contract import COMMANDS
from dataengine.errors import DataEngineError
from dataengine.report import Report
from dataengine.setting_errors import changes_to, nested
from pipelines.output.folder import refuse_folder

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from pipelines.training.config import TrainConfig

MADE = "<!-- Made by `villa docs`; change the program, not this page. -->\n\n"


class DocsReport(Report):
    """Which pages are there, and which were out of date."""

    ok: bool = True
    """False when `--check` found a page that does not say what the program does."""
    out: str
    pages: list[str]
    changed: list[str]
    checked_only: bool

    def summary(self) -> str:
        """Name the pages that changed."""
        if self.checked_only and self.changed:
            return f"out of date in {self.out}: {', '.join(self.changed)}; run villa docs --out {self.out}"
        return f"{len(self.pages)} pages in {self.out}, changed: {', '.join(self.changed) or 'none'}"


def run(out: Path, *, check: bool) -> DocsReport:
    """Write the pages, or compare them with what is there."""
    pages = {"commands.md": commands(), "settings.md": settings(), "presets.md": presets(), "sources.md": sources()}
    changed = [name for name, text in pages.items() if not (out / name).is_file() or _read(out / name) != text]
    if not check:
        refuse_folder(out.absolute())
        for name in changed:
            if (out / name).exists() and not _read(out / name).startswith(MADE):
                raise DataEngineError(
                    f"{out / name}: `villa docs` did not write it; move it away, or give another --out"
                )
        out.mkdir(parents=True, exist_ok=True)
        for name in changed:
            (out / name).write_text(pages[name], encoding="utf-8")
    return DocsReport(ok=not (check and changed), out=str(out), pages=list(pages), changed=changed, checked_only=check)


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8", errors="replace")


def _all_commands() -> Iterator[tuple[str, Any]]:
    """Import every command and list them by what is typed."""
    from typer.main import get_command

    from cli.contract import app

    for name in COMMANDS:
        importlib.import_module(f"cli.{name}")
    yield from _leaves(get_command(app), "villa")


def commands() -> str:
    """Describe every command: what it does, an example, its arguments and options."""
    parts = [MADE + "# Commands\n\nOptions that every command has are listed once, at the end.\n"]
    for path, command in _all_commands():
        if hasattr(command, "complete_help"):
            command.complete_help()
        text, _, example = inspect.cleandoc(command.help).replace("\b\n", "").partition("Example:\n")
        rows = [_parameter(p) for p in command.params if p.name not in COMMON and not getattr(p, "hidden", False)]
        parts.append(f"## {path}\n\n{text.strip()}\n\n```\n{inspect.cleandoc(example)}\n```\n")
        parts.append(_table(["", "default", ""], rows) if rows else "")
    parts.append("## On every command\n\n" + _table(["", ""], list(COMMON.values())))
    parts.append(EXIT_CODES)
    return "\n".join(part for part in parts if part)


COMMON = {
    "as_json": ("`--json`", "One JSON object on stdout, and nothing else there; logs and progress go to stderr."),
    "debug": ("`--debug`", "A traceback when it fails, beside the one line that it always prints."),
    "config_file": ("`--config FILE`", "YAML file of settings, where [settings](settings.md) has a table for it."),
    "overrides": (
        "`--set KEY=VALUE`",
        "Any setting, also several; dots reach into nested ones. Overrides all else.",
    ),
    "print_config": ("`--print-config`", "Print the settings as YAML, for `--config` to read, and do nothing else."),
}

EXIT_CODES = """| exit code | |
|---|---|
| 0 | done |
| 1 | failed; one line on stderr says why |
| 2 | wrong usage or bad input; one line on stderr says where, what was found, what was expected |
| 130 | interrupted; the same command continues |
"""


def settings() -> str:
    """Describe every setting that `--config` and `--set` take."""
    parts = [
        MADE
        + "# Settings\n\nDefaults, then `--config`, then options, then `--set`: the later wins. Each setting is an "
        "option of its command, too: `batch_size` is `--batch-size 32`, `model.horizon` is `--model.horizon 8`, "
        "and what is true or false is switched: `--compile`, `--no-compile`.\n"
    ]
    for path, command in _all_commands():
        for variant, config in getattr(command, "config_classes", {}).items():
            title = f"{path} {variant}".strip()
            parts.append(_settings_table(f"## {title}", config))
            for name, info in config.model_fields.items():
                parts += [_settings_table(f"### {name}.<key> of {title}", inner) for inner in changes_to(info)]
    return "\n".join(parts)


def _settings_table(title: str, config: type["BaseModel"]) -> str:
    return f"{title}\n\n{inspect.getdoc(config)}\n\n{_table(['key', 'type', 'default', ''], list(_rows(config)))}"


def presets() -> str:
    """Describe every preset of every training: what it sets, and how large its model is."""
    from pipelines.training.config import TrainConfig

    intro = (
        "# Presets\n\nWhat `villa train ... --preset NAME` sets, where nobody says otherwise; every other setting has "
        "its [default](settings.md). A preset is a YAML file, `pipelines/recipes/train_lam_tiny.yaml`; a file of "
        "one's own works the same: `--preset my.yaml`, in which `preset: small` begins from another. `--print-config` "
        "prints all settings with the whole model.\n\nThe count of parameters changes a little with what the data "
        "decide: robots, datasets, and how many numbers their states and actions have.\n"
    )
    tables = (
        f"## {path}\n\n{_presets_table(config)}"
        for path, command in _all_commands()
        for config in getattr(command, "config_classes", {}).values()
        if issubclass(config, TrainConfig) and config.preset_defaults()
    )
    return "\n".join([MADE + intro, *tables])


def _presets_table(config: type["TrainConfig"]) -> str:
    """Lay the presets of a training side by side: whatever one of them sets, and what the others have there."""
    from pipelines.training import presets, sizes

    resolved = config.preset_defaults()
    said = {key for name in resolved for key, _ in presets.flat(presets.load(config.kind, name))}
    counts = (f"**{sizes.num_parameters(config, name) / 1e6:,.1f} M**" for name in resolved)
    rows = [
        (f"`{key}`", *(json.dumps(one[key]) if key in one else "" for one in resolved.values()))
        for key in dict.fromkeys(key for one in resolved.values() for key in one)
        if key in said
    ]
    sizes_row = [("**parameters**", *counts)] if config.has_own_model else []
    return _table(["", *resolved], [*sizes_row, *rows])


def sources() -> str:
    """Describe every source by what its file says."""
    from pipelines.ingest.sources import SourcesConfig
    from pipelines.ingest.sources import run as list_sources

    parts = [
        MADE
        + "# Sources\n\nWhat `villa ingest SOURCE ROOT` reads; each is one file or folder of `dataengine/sources`.\n"
    ]
    rows = [
        (
            f"`{s.name}`",
            s.kind,
            ", ".join([s.embodiment, *s.other_embodiments]),
            f"{s.control_hz:g}",
            s.layout,
            s.licence,
        )
        for s in list_sources(SourcesConfig()).sources
    ]
    return "\n".join([*parts, _table(["source", "kind", "embodiment", "Hz", "layout", "licence"], rows)])


def _leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """List the commands of a tree, groups opened."""
    for name in command.list_commands(None):
        inner = command.get_command(None, name)
        if hasattr(inner, "commands"):
            yield from ((f"{path} {name} {leaf}", c) for leaf, c in inner.commands.items())
        else:
            yield f"{path} {name}", inner


def _parameter(parameter: Any) -> tuple[str, str, str]:
    """Describe one argument or option."""
    if parameter.param_type_name == "argument":
        return (
            f"`{(parameter.metavar or parameter.name).upper()}`",
            "required" if parameter.required else "",
            parameter.help or "",
        )
    text, _, stated = (parameter.help or "").partition("[default: ")
    default = stated.rstrip("]") or ("" if parameter.default in (None, False, "") else str(parameter.default))
    return f"`{parameter.opts[0]}`", f"`{default}`" if default else "", text.strip()


def _rows(config: type["BaseModel"], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Describe each setting, nested ones below their parent."""
    for name, info in config.model_fields.items():
        yield f"`{prefix}{name}`", _type(info), _default(info), info.description or ""
        for inner in nested(info.annotation):
            yield from _rows(inner, f"{prefix}{name}.")


def _type(info: "FieldInfo") -> str:
    """Name a type as a reader of YAML knows it, with its bounds."""
    bounds = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "min_length": "length at least"}
    limits = [f"{word} {getattr(m, key)}" for m in info.metadata for key, word in bounds.items() if hasattr(m, key)]
    return ", ".join([_type_name(info.annotation), *limits])


def _type_name(annotation: Any) -> str:
    """Write a type without the modules that its parts come from."""
    outer, inner = get_origin(annotation), get_args(annotation)
    if outer is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if outer is Annotated:
        return _type_name(inner[0])
    if annotation is type(None):
        return "null"
    if outer in (Union, UnionType):
        return " or ".join(map(_type_name, inner))
    name = getattr(outer or annotation, "__name__", str(annotation)).lower()
    return (
        f"{name} of {', '.join(dict.fromkeys(_type_name(part) for part in inner if part is not ...))}"
        if inner
        else name
    )


def _default(info: "FieldInfo") -> str:
    """Print a default as YAML would have it."""
    from pydantic import BaseModel

    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        return ""
    return f"`{json.dumps(value, default=str)}`"


def _table(head: list[str], rows: list[Any]) -> str:
    """Write a Markdown table."""
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in [head, *rows]]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"
