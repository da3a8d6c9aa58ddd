"""A worker's half of the commit protocol: read a part, write its fragments, leave a receipt. Nothing is visible yet."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain

import lance
import pyarrow as pa
from lance.fragment import write_fragments

from dataengine import notes
from dataengine.episode import Episode, Part, Reject
from dataengine.errors import ChangedError, DataEngineError, RecordError, UnexpectedError
from dataengine.notes import NoteTally
from dataengine.reading import digest, explain, is_certain, one_line, reading
from dataengine.schema import SCHEMA_VERSION
from dataengine.storage import make_durable
from dataengine.store.commit import storable_texts
from dataengine.store.commit.checks import check_episode
from dataengine.store.commit.new_rows import NewRows
from dataengine.store.commit.receipts import Receipt, Receipts, data_folder, files_of
from dataengine.store.earlier import Earlier
from dataengine.store.tables import FILE_VERSION, open_table


@dataclass(frozen=True, kw_only=True)
class Staging:
    """What a worker must know to stage a part; small, and sent to every worker."""

    corpus: str
    run_id: str
    dataset_ids: Mapping[str, int]
    embodiment_ids: Mapping[str, int]
    begun: frozenset[str] = frozenset()
    """Datasets of which the corpus may hold records of these parts already; only those that it lacks are staged."""
    schema_version: int = SCHEMA_VERSION


@dataclass
class _Passed:
    """What went by while a part was written."""

    steps: int = 0
    num_bytes: int = 0
    ids: set[str] = field(default_factory=set)
    rejects: list[Reject] = field(default_factory=list)
    notes: NoteTally = field(default_factory=NoteTally)
    num_known: int = 0
    error: Exception | None = None


class ReadError(Exception):
    """Reading a part failed, as opposed to writing it; `__cause__` says why."""


def stage_part(part: Part, records: Iterable[Episode | Reject], staging: Staging, attempt: int = 1) -> Receipt:
    """Write a part's episodes to files that no version of the table holds yet, and leave a receipt.

    Holds one episode in memory at a time. Raise ReadError when `records` fails in a way that may pass, or before any
    record; what it had written stays invisible. What fails for certain costs what lies behind the last record; only
    what changed while it was read costs all, for it may be of two states.
    """
    passed = _Passed()
    table, rows = _table(staging.corpus, staging.run_id)
    earlier = _earlier(staging.corpus, staging.run_id, part.dataset) if part.dataset in staging.begun else None
    batches = _batches(part, records, staging, rows, earlier, passed, attempt)
    fragments = []
    try:
        first = next(batches, None)
        if first is not None:
            stream = pa.RecordBatchReader.from_batches(rows.schema, chain([first], batches))
            fragments = write_fragments(stream, table, rows.schema, mode="append", data_storage_version=FILE_VERSION)
    except Exception:
        if passed.error is None:  # Lance's own trouble
            raise
        raise ReadError(str(passed.error)) from passed.error
    receipt = Receipt(
        part_id=part.part_id,
        part_name=part.name,
        dataset=part.dataset,
        fingerprint=part.fingerprint,
        schema_version=staging.schema_version,
        run_id=staging.run_id,
        fragments=tuple(json.dumps(fragment.to_json()) for fragment in fragments),
        files=tuple(file for fragment in fragments for file in files_of(staging.corpus, fragment)),
        rejects=tuple(passed.rejects),
        num_episodes=len(passed.ids),
        num_steps=passed.steps,
        num_bytes=passed.num_bytes,
        source_bytes=part.num_bytes,
        attempts=attempt,
        episode_ids=tuple(sorted(passed.ids)),
        num_known=passed.num_known,
        notes=passed.notes.counts,
    )
    make_durable(f"{data_folder(staging.corpus).uri}/{file}" for file, _ in receipt.files)
    Receipts(staging.corpus).put(receipt)
    return receipt


@lru_cache(maxsize=1)
def _table(corpus: str, run_id: str) -> tuple[lance.LanceDataset, NewRows]:
    """Open the table that a run adds to, once in each worker: with 10,000 fragments that takes as long as a small part.

    Lance asks it for nothing but its columns, which a run does not change.
    """
    table = open_table(corpus, "episodes")
    return table, NewRows(table.schema)


@lru_cache(maxsize=4)
def _earlier(corpus: str, run_id: str, dataset: str) -> Earlier:
    """Look once in each worker which records of a dataset the corpus holds; a run itself adds none of them twice."""
    return Earlier(_table(corpus, run_id)[0], dataset)


def _batches(
    part: Part,
    records: Iterable[Episode | Reject],
    staging: Staging,
    rows: NewRows,
    earlier: Earlier | None,
    passed: _Passed,
    attempt: int,
) -> Iterator[pa.RecordBatch]:
    """Turn a part's records into one-row batches; put bad ones aside, and what lies behind a reader's breakdown."""
    last = ""
    try:
        for record in records:
            last = record.record if isinstance(record, Reject) else record.source_record
            if isinstance(record, Reject):
                passed.rejects.append(replace(record, attempts=attempt))
                continue
            try:
                with reading():
                    record = storable_texts.writable(record)
                    check_episode(record, part.dataset, staging.embodiment_ids)
                    if record.episode_id in passed.ids:
                        raise RecordError(f"record '{record.source_record}' comes twice in its part")
                    noted = replace(record, notes={**rows.notes(record), **record.notes})
                    batch = rows.batch(noted, _identity(noted, part, staging))
            except RecordError as error:
                passed.rejects.append(_reject(part, record, error, attempt))
                continue
            if earlier is not None and earlier.holds(batch):
                passed.num_known += 1
                continue
            passed.ids.add(record.episode_id)
            passed.notes.add(_serious(noted))
            passed.steps += record.num_steps
            passed.num_bytes += sum(len(jpeg) for frames in record.cameras.values() for jpeg in frames.jpegs)
            yield batch
    except Exception as error:
        # The next attempt would come as far and no farther.
        if last and is_certain(error) and not isinstance(error, ChangedError):
            passed.rejects.append(_rest(part, last, error, attempt))
            return
        # Lance would wrap it on its way through Rust; this keeps the original.
        passed.error = error
        raise


def _reject(part: Part, episode: Episode, error: RecordError, attempt: int) -> Reject:
    return Reject(
        part_id=part.part_id,
        dataset=part.dataset,
        source_uri=episode.source_uri,
        record=episode.source_record,
        reason=one_line(str(error)),
        error=type(error).__name__,
        attempts=attempt,
        traceback_digest=digest(error) if isinstance(error, UnexpectedError) else "",
    )


def _rest(part: Part, last: str, error: Exception, attempt: int) -> Reject:
    """Say that a reader broke down behind a record."""
    return Reject(
        part_id=part.part_id,
        dataset=part.dataset,
        source_uri=part.uri,
        record=f"all after {last}",
        reason=one_line(str(error) if isinstance(error, DataEngineError) else explain(error)),
        error=type(error).__name__,
        attempts=attempt,
        traceback_digest=digest(error),
    )


def _identity(episode: Episode, part: Part, staging: Staging) -> dict[str, object]:
    """Give the columns of a row that the run knows, not the episode."""
    return {
        "dataset_id": staging.dataset_ids[episode.dataset],
        "embodiment_id": staging.embodiment_ids[episode.embodiment],
        "source_fingerprint": part.fingerprint,
        "part_id": part.part_id,
        "run_id": staging.run_id,
    }


def _serious(episode: Episode) -> dict[str, str]:
    """Pick what everybody must be told of an episode."""
    return notes.serious(
        episode.notes,
        kind=episode.kind,
        has_state=episode.state is not None,
        has_action=episode.action is not None,
        has_instruction=bool(episode.texts),
    )
