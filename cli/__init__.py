"""The command line: words in, reports out. `main` is what `villa` and `python -m cli` run."""

import sys


def main() -> None:
    """Run the command line, unless packages of the same names hide ours; nothing of ours is imported before."""
    from cli.clash import hidden

    if hidden_by := hidden():
        sys.stderr.write(f"villa: {hidden_by}\n")
        sys.exit(2)
    from cli.app import main as run

    run()
