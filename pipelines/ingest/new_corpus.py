"""Where a corpus may be created: never among files of anybody else."""

import os
from collections.abc import Iterable
from pathlib import Path

from dataengine.errors import DataEngineError
from dataengine.storage import Folder, is_uri, normal_uri
from dataengine.store import Corpus
from dataengine.store.tables import SIDE_TABLES
from pipelines.output.folder import is_passing

CORPUS_FILES = frozenset(("_staging", "_creators", "episodes.lance", *(f"{name}.lance" for name in SIDE_TABLES)))
"""What lies in a corpus whose creation was cut short."""


def refuse_corpus(corpus: str, roots: Iterable[str]) -> None:
    """Refuse a corpus that cannot be written, without writing: a snapshot, or a new one at the wrong place.

    That is among other files: in a folder that is not empty, in another corpus, at a source, where nobody may write.
    """
    uri = Corpus.writable_uri(corpus)
    if Corpus.exists(uri):
        return
    advice = "give a new folder, outside of the recordings, such as --corpus runs/corpus"
    for root in map(normal_uri, roots):
        if uri == root or uri.startswith(f"{root}/"):
            raise DataEngineError(f"{corpus}: lies in the recordings at {root}; {advice}")
    if not is_uri(uri):
        for above in Path(uri).parents:
            if (above / "episodes.lance").is_dir():
                raise DataEngineError(f"{corpus}: lies in another corpus, {above}; {advice}")
        there = next(folder for folder in (Path(uri), *Path(uri).parents) if folder.exists())
        if not there.is_dir():
            raise DataEngineError(f"{corpus}: lies at or below a file, expected a folder; {advice}")
        if not os.access(there, os.W_OK):
            raise DataEngineError(f"{corpus}: nothing can be written in {there}; get the right to write, or {advice}")
    elif uri.count("/") < 3:
        return  # a whole bucket
    others = sorted(name for name in Folder(uri).entries().keys() - CORPUS_FILES if not is_passing(name))
    if others:
        raise DataEngineError(f"{corpus}: holds files that are no corpus ({others[0]}); {advice}")
