"""Every command of `villa` by its words, as typer knows it."""

from typer.main import get_command

from cli.app import app
from cli.reference import _leaves

COMMANDS = dict(_leaves(get_command(app), "villa"))
