"""`villa docs`: the reference pages, generated from the program itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command

if TYPE_CHECKING:
    from dataengine.report import Report


@command(app, "docs", example="villa docs --out docs/reference")
def docs(
    out: Annotated[Path, typer.Option(help="Folder of the pages.")] = Path("docs/reference"),
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a page is out of date.")] = False,
) -> "Report":
    """Write the reference of commands, settings, presets and sources."""
    from cli import reference

    return reference.run(out, check=check)
