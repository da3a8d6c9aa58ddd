"""Runs a command of one's own as a child of a pipeline: `python -m pipelines.workflow.call module:Class key=value`.

Its report comes on stdout as JSON, all else on stderr; bad input and bad settings end in one line.
"""

import contextlib
import importlib
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from dataengine.errors import DataEngineError
from dataengine.formats import yaml_file
from dataengine.setting_errors import explain
from pipelines.workflow.children import INTERRUPTED
from pipelines.workflow.commands import command_of


def main(argv: Sequence[str]) -> int:
    """Run it and return the exit code."""
    name, *given = [argument for argument in argv if argument != "--json"]
    values = {key: yaml_file.load(value) for key, _, value in (text.partition("=") for text in given)}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            config_class = command_of(name, values).config_class()
            run = importlib.import_module(config_class.__module__).run
            report = run(config_class.model_validate(values))
    except ValidationError as error:
        return _fail(f"{name}: {explain(error, config_class)}", 2)
    except DataEngineError as error:
        return _fail(f"{name}: {error}", 2)
    except KeyboardInterrupt:
        return _fail(f"{name}: interrupted", INTERRUPTED)
    print(report.model_dump_json())  # noqa: T201
    return 0 if getattr(report, "ok", True) else 1


def _fail(line: str, code: int) -> int:
    print(line, file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
