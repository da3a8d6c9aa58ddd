"""What every command does alike: settings, one report, errors in one line, exit codes.

Exit codes: 0 done; 1 failed; 2 wrong usage or bad input; 130 interrupted; 143 terminated. stdout carries the report
and nothing else.
"""

import contextlib
import errno
import functools
import importlib.metadata
import inspect
import io
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
from typer.main import get_command

from cli.clash import PACKAGES, shared
from cli.help import WIDTH, Command, item_of, metavar
from cli.options import command_class
from cli.settings import Settings, SettingsPrinted, class_of
from dataengine.errors import DataEngineError, UnknownOptionError, is_disk_full, is_store_busy
from dataengine.setting_errors import explain

if TYPE_CHECKING:
    from dataengine.report import Report

COMMANDS = (
    *("demo", "doctor", "sources", "clips"),
    *("ingest", "hands", "curate", "stats", "show", "corpus"),
    *("train", "finetune", "runs", "label", "lam", "shard", "export"),
    *("probe", "eval", "ablate", "act", "plan", "transfer", "serve"),
    "pipeline",
    "docs",
)
"""In the order in which a newcomer meets them; each is a file of this folder."""


class Story(typer.core.TyperGroup):
    """Lists the commands in the order of the story; typer would put groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the commands for the help."""
        return list(COMMANDS)


app = typer.Typer(name="villa", cls=Story, rich_markup_mode=None)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"villa-engine {importlib.metadata.version('villa-engine')}")
        raise typer.Exit


@app.callback()
def villa(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """From raw robot recordings and human video to a corpus, a latent action model and an evaluated policy."""


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON report on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback when the command fails.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file of settings; options override it.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Any setting, may be repeated; overrides all else.")]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Print the settings as YAML and do nothing else.")]


def command(
    app: typer.Typer,
    name: str,
    *,
    example: str,
    configs: Mapping[str, str] | None = None,
    apart: Sequence[str] = (),
    choices: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., "Report"]], Callable[..., None]]:
    """Register a function that returns a Report as a command that keeps the contract.

    A function with a parameter `settings` also gets `--config`, `--set`, `--print-config` and an option for each
    setting of `configs` (`module:Class` by the option that chooses it, "" without one) but for those `apart`, which it
    can be given in other ways; one with a parameter `extra` gets the options that typer does not know, as names and
    values. `choices` names functions that list what an option takes, for the help: `module:function:argument`.
    """

    def register(act: Callable[..., "Report"]) -> Callable[..., None]:
        signature = inspect.signature(act)
        configurable, open_ended = "settings" in signature.parameters, "extra" in signature.parameters

        def run(**kwargs: Any) -> None:
            as_json, debug = kwargs.pop("as_json"), kwargs.pop("debug")
            context = kwargs.pop("context", None)
            if open_ended:
                kwargs["extra"] = extra_options(context.args)
                for value in kwargs.values():
                    if isinstance(value, str) and value.startswith("--"):
                        raise typer.BadParameter(
                            f"no option '{value}' before the arguments; a source's own options come last"
                        )
            if configurable:
                file, overrides, shown = (kwargs.pop(key) for key in ("config_file", "overrides", "print_config"))
                kwargs["settings"] = Settings(file, overrides or [], shown)
            raise typer.Exit(perform(name, lambda: _compared(act, kwargs, context), as_json=as_json, debug=debug))

        own = [p for p in signature.parameters.values() if p.name not in ("settings", "extra")]
        added = _added(configurable=configurable, open_ended=open_ended)
        run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [*own, *added]}
        metavars = {p.name: metavar(item_of(p.annotation) or p.annotation) for p in own}
        metavars |= {"config_file": "PATH", "overrides": "KEY=VALUE"}
        kind = command_class(configs or {}, tuple(apart), choices or {}) if configurable else Command
        lines = "\n".join(f"  {line}" for line in example.splitlines())
        # \b keeps the lines of the example as they are.
        text = inspect.getdoc(act) or ""
        app.command(
            name.rpartition(" ")[2],
            cls=type(kind.__name__, (kind,), {"metavars": metavars}),
            short_help=text.partition("\n")[0],
            help=f"{text}\n\n\b\nExample:\n{lines}",
            context_settings={
                "allow_extra_args": open_ended,
                "ignore_unknown_options": open_ended,
                "max_content_width": WIDTH,
            },
        )(run)
        return run

    return register


def _added(*, configurable: bool, open_ended: bool) -> list[inspect.Parameter]:
    """Give the parameters that every command has beside those of its function."""
    texts = {"config_file": ConfigFile, "overrides": Overrides} if configurable else {}
    flags = {**({"print_config": PrintConfig} if configurable else {}), "as_json": AsJson, "debug": Debug}
    added = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for kinds, default in ((texts, None), (flags, False))
        for key, kind in kinds.items()
    ]
    if open_ended:
        added.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
    return added


def _compared(act: Callable[..., "Report"], kwargs: Mapping[str, Any], context: Any) -> "Report":
    """Run a command; an option that its source does not know may be a misspelt one of its own."""
    try:
        return act(**kwargs)
    except UnknownOptionError as error:
        from dataengine.options import unknown_option

        known = [*error.known, *(context.command.known_flags if context else ())]
        raise unknown_option(error.source, error.flag, known, error.otherwise) from None


def extra_options(argv: Sequence[str]) -> dict[str, Any]:
    """Read `--key value`, `--key=value` and a lone `--key` (true) off a command line."""
    options: dict[str, Any] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise typer.BadParameter(f"found '{word}', expected an option")
        key, equals, value = word.removeprefix("--").partition("=")
        if equals:
            options[key.replace("-", "_")] = value
        else:
            is_flag = not rest or rest[0].startswith("--")
            options[key.replace("-", "_")] = True if is_flag else rest.pop(0)
    return options


def perform(name: str, act: Callable[[], "Report"], *, as_json: bool, debug: bool) -> int:
    """Run a command, print its report or its error, and return the exit code."""
    try:
        with _stdout_kept_clean(), _interruptible() as signals:
            report = act()
    except SettingsPrinted as settings:
        typer.echo(str(settings), nl=False)
        return 0
    except KeyboardInterrupt as interrupt:
        return _fail(*_interrupted(name, signals, str(interrupt)), as_json)
    except Exception as error:
        if debug:
            traceback.print_exc()
        if signals:  # libraries make errors of their own of it: pyarrow one that looks like a damaged file
            return _fail(*_interrupted(name, signals), as_json)
        message, code = _explain(name, error)
        return _fail(message, code, as_json, getattr(error, "draft", ""), getattr(error, "details", ()))
    from dataengine.progress import is_main_process

    with contextlib.suppress(BrokenPipeError):
        if is_main_process():
            typer.echo(report.model_dump_json() if as_json else report.summary())
    return 0 if getattr(report, "ok", True) else 1


@contextlib.contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Take SIGTERM for Ctrl-C, so that a command puts its work away and its helpers go; a second one kills it.

    Give the signals that came, whatever becomes of the exception that each raises.
    """
    seen: list[int] = []

    def stop(number: int, _frame: object) -> None:
        seen.append(number)
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    heard = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, or somebody else's
        heard.append(signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupted(name: str, signals: Sequence[int], then: str = "") -> tuple[str, int]:
    """Say that a signal ended a command, and what the same command does; give the exit code, too."""
    did, code = ("terminated", 143) if signal.SIGTERM in signals else ("interrupted", 130)
    return f"villa {name}: {did}; {then or 'the same command continues where it stopped'}", code


def invoke(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run the app on a command line; usage errors become one line, too."""
    as_json = "--json" in arguments
    try:
        code = _command(app)(args=list(arguments) or ["--help"], prog_name="villa", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("villa: interrupted; the same command continues where it stopped", 130, as_json)
    except Exception as error:
        # typer brings its own copy of click in some versions, so its errors are known by their shape.
        if not hasattr(error, "format_message"):
            raise
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "villa"
        message = " ".join(error.format_message().split()).rstrip(".")
        return _fail(f"{path}: {message}; see '{path} --help'", getattr(error, "exit_code", 2), as_json)
    return code if isinstance(code, int) else 0


@functools.cache
def _command(app: typer.Typer) -> Callable[..., Any]:
    """Build all commands once: that takes longer than many of them, and a process may call several."""
    return get_command(app)


def _explain(name: str, error: Exception) -> tuple[str, int]:
    """Turn an error into one line and an exit code."""
    message = " ".join(str(error).split()) or type(error).__name__
    if is_disk_full(error):
        said = message if "the disk is full" in message else f"the disk is full ({message}); free some space"
        return f"villa {name}: {said}{'' if 'same command' in message else ', the same command continues'}", 1
    if isinstance(error, DataEngineError):
        return f"villa {name}: {message}", 2
    if is_store_busy(error):
        return f"villa {name}: the object store does not answer now ({message}); the same command continues", 1
    if hasattr(error, "format_message"):  # of click: options that do not go together
        return f"villa {name}: {message}; see 'villa {name} --help'", 2
    if type(error).__name__ == "ValidationError" and hasattr(error, "errors"):  # pydantic is not imported for its name
        return f"villa {name}: {explain(error, class_of(error))}", 2  # type: ignore[arg-type]
    if isinstance(error, PermissionError) and error.filename is not None:
        path = os.fsdecode(error.filename)
        return f"villa {name}: {path}: permission denied; get the right to read or write it, or name another", 2
    if isinstance(error, OSError) and error.errno == errno.EROFS and error.filename is not None:
        return f"villa {name}: {os.fsdecode(error.filename)}: its disk is read-only; name another folder", 2
    if isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError) or _is_bad_setting(error):
        return f"villa {name}: {message}", 2
    if isinstance(error, ImportError) and (advice := shared(error)):
        return f"villa {name}: {message}; {advice}", 2
    return f"villa {name}: failed with {type(error).__name__}: {message}; --debug shows where", 1


def _is_bad_setting(error: Exception) -> bool:
    """Tell whether our own code raised this ValueError on purpose: a library's would be a failure, not bad input."""
    if not isinstance(error, ValueError) or error.__traceback__ is None:
        return False
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in PACKAGES


def _fail(message: str, code: int, as_json: bool, draft: str = "", details: Sequence[str] = ()) -> int:
    """Say in one line on stderr why, and to a machine also on stdout; a draft to go on from goes there, too.

    What has parts, such as the settings that differ, has a line below for each of them.
    """
    typer.echo("\n  ".join([message, *details]), err=True)
    with contextlib.suppress(BrokenPipeError):
        if as_json:
            more = {"draft": draft, "details": list(details)}
            facts = {"error": message, "exit_code": code, **{key: value for key, value in more.items() if value}}
            typer.echo(json.dumps(facts))
        elif draft:
            typer.echo(draft, nl=False)
    return code


@contextlib.contextmanager
def _stdout_kept_clean() -> Iterator[None]:
    """Send what libraries print to stderr, even from C, so that stdout holds the report alone."""
    sys.stdout.flush()
    with contextlib.redirect_stdout(sys.stderr):
        try:
            inside = sys.__stdout__ is not None and sys.__stdout__.fileno() == 1
            saved = os.dup(1) if inside else -1
        except (OSError, io.UnsupportedOperation):
            saved = -1
        if saved < 0:
            yield
            return
        os.dup2(2, 1)
        try:
            yield
        finally:
            os.dup2(saved, 1)
            os.close(saved)
