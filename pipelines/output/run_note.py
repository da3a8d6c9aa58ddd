"""A row in a corpus's runs, of a command that only reads it otherwise."""

import sys
from collections.abc import Mapping

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.store.tables import say_error


def note(corpus: Corpus, run: Mapping[str, object]) -> None:
    """Record a run; where the corpus cannot be written say so, for what was asked for is there."""
    try:
        corpus.append_run(run)
    except (DataEngineError, OSError, RuntimeError, ValueError) as error:  # Lance raises all of them
        line = f"{corpus.uri}: the run could not be recorded ({say_error(error)}); its output is whole"
        print(line, file=sys.stderr, flush=True)  # noqa: T201
