"""One command at a time may change a dataset of a corpus."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from dataengine.digest import stable_id
from dataengine.storage import is_uri
from pipelines.output.folder import exclusive


def alone_at(corpus: str, dataset: str, command: str) -> AbstractContextManager[None]:
    """Keep others from a dataset while `villa COMMAND` changes it; raise DataEngineError that says who is at it.

    Of two ingests with files that change meanwhile each may see other parts. An object store keeps no locks: there
    only the commits are kept apart.
    """
    if is_uri(corpus):
        return nullcontext()
    file = Path(corpus, "_staging", f".{stable_id(dataset)}.lock")
    return exclusive(file, command, f"{corpus}: {{}} is at work on {dataset}; wait for that, then run this again")
