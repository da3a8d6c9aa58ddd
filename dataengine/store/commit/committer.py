"""The driver's half of the commit protocol: receipts become rows, each part exactly once.

The ledger is the table itself: a part is done when rows carry its `part_id`. Lance appends blindly, even the same
files twice, so a commit here also "updates" one fragment without changing it: Lance then refuses it if anybody touched
that fragment since the version in which the ledger was read. As every committer takes the lowest fragment, that is a
compare-and-swap between committers, while appends and labels of other fragments still go through. An empty table
has no fragment; there a Merge is refused after any other change. Lance documents neither: the chaos test watches it.

Whatever goes wrong on the way, the answer is to read the ledger again.
"""

import json
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import lance

from dataengine.digest import stable_id
from dataengine.episode import Reject
from dataengine.errors import CorpusError, is_disk_full
from dataengine.store.commit.ledger import Ledger
from dataengine.store.commit.receipts import Receipt, Receipts
from dataengine.store.tables import is_conflict, open_table, say_error, settle, upsert

MAX_TRIES: Final = 50
"""Lost races before giving up; each waits a little longer than the last."""

MAX_FAILURES: Final = 5
"""Errors other than lost races."""


HELD: Final = "HeldByOtherParts"
"""Error of a part that is given up for it has no record of its own: files that grow move the bounds between parts."""


class Committer:
    """Commits the receipts of one run."""

    def __init__(self, corpus: str, run_id: str) -> None:
        self.corpus, self.run_id = corpus, run_id
        self.receipts = Receipts(corpus)
        self._ledger = Ledger(corpus)
        self._table: lance.LanceDataset | None = None

    def ledger(self) -> dict[str, str]:
        """Parts that are in the table now, each with the fingerprint that it was read with."""
        return dict(self._ledger.read(self._latest()))

    def commit(self, receipts: Sequence[Receipt]) -> set[str]:
        """Make receipts visible, one for each part; return the parts that this call committed.

        A part is not returned that another command committed meanwhile, nor one whose files are gone: its receipt is
        dropped, and it has to be read again.
        """
        wanted = {receipt.part_id for receipt in receipts}
        self._commit_rejects(receipts)
        num_failures = 0
        landed, unheard = set[str](), set[str]()
        for attempt in range(MAX_TRIES):
            table = self._latest()
            done = self._ledger.read(table)
            todo = {r.part_id: r for r in receipts if r.part_id not in done and r.fragments}
            todo = {i: r for i, r in todo.items() if self.receipts.missing_file(r) is None}
            if not todo:
                self.receipts.drop(wanted)
                return landed | {r.part_id for r in receipts if r.part_id in unheard and self._ledger.holds(r)}
            try:
                self._append(table, list(todo.values()))
                landed |= todo.keys()
            except Exception as error:
                # A lost race, or an answer that got lost: in both cases the ledger knows.
                failure, self._table = error, None
                unheard |= set() if is_conflict(error) else todo.keys()
                if is_disk_full(error):
                    break
                num_failures += not is_conflict(error)
                if num_failures > MAX_FAILURES:
                    break
                time.sleep(random.uniform(0, 0.01 * 2 ** min(attempt, 7)))
        raise CorpusError(f"{self.corpus}: could not commit: {say_error(failure)}") from failure

    def reject_parts(self, rejects: Sequence[tuple[Reject, str]]) -> None:
        """Record whole parts, each with its fingerprint, as given up; an earlier row of the same part is replaced."""
        rows = [self._reject_row(reject, fingerprint) for reject, fingerprint in rejects]
        upsert(self.corpus, "rejects", rows, replace=True)

    def reject_records(self, part_id: str, rejects: Sequence[Reject], fingerprint: str) -> None:
        """Record which records of a part that is in the table are bad now, in place of those that were before."""
        rows = [self._reject_row(replace(reject, part_id=part_id), fingerprint) for reject in rejects]
        upsert(self.corpus, "rejects", rows, replace=True)
        others = f"part_id = '{part_id}' AND record != '' AND run_id != '{self.run_id}'"
        open_table(self.corpus, "rejects").delete(others)

    def forget_rejected(self, part_ids: Iterable[str], *, records: bool = False) -> None:
        """Forget that parts were given up, and with `records` also which of their records were bad."""
        names = ", ".join(f"'{part_id}'" for part_id in sorted(part_ids))
        if names:
            which = "" if records else "record = '' AND "
            open_table(self.corpus, "rejects").delete(f"{which}part_id IN ({names})")

    def forget_records(self, reject_ids: Iterable[str]) -> None:
        """Forget single rejects."""
        names = ", ".join(f"'{reject_id}'" for reject_id in sorted(reject_ids))
        if names:
            open_table(self.corpus, "rejects").delete(f"reject_id IN ({names})")

    def _commit_rejects(self, receipts: Sequence[Receipt]) -> None:
        """Record bad records before their part counts as done: a crash in between repeats this without effect."""
        rows = {
            row["reject_id"]: row
            for receipt in receipts
            for reject in receipt.rejects
            for row in [self._reject_row(reject, receipt.fingerprint)]
        }
        upsert(self.corpus, "rejects", rows.values(), replace=True)

    def _reject_row(self, reject: Reject, fingerprint: str) -> dict[str, object]:
        return {
            "reject_id": stable_id(reject.part_id, reject.record),
            "part_id": reject.part_id,
            "dataset": reject.dataset,
            "source_uri": reject.source_uri,
            "record": reject.record,
            "reason": reject.reason,
            "error": reject.error,
            "attempts": reject.attempts,
            "traceback_digest": reject.traceback_digest,
            "source_fingerprint": fingerprint,
            "run_id": self.run_id,
        }

    def _append(self, table: lance.LanceDataset, receipts: list[Receipt]) -> None:
        """Add the receipts' fragments to the table, unless it changed under a committer's hands since."""
        staged = [lance.FragmentMetadata.from_json(text) for receipt in receipts for text in receipt.fragments]
        self._ledger.read(table)
        fence = self._ledger.lowest
        if fence is not None:
            untouched = table.get_fragment(fence).metadata
            operation = lance.LanceOperation.Update(updated_fragments=[untouched], new_fragments=staged)
        else:
            operation = lance.LanceOperation.Merge(fragments=staged, schema=table.lance_schema)
        properties = {"villa:run_id": self.run_id, "villa:parts": json.dumps([r.part_id for r in receipts])}
        version = table.version
        transaction = lance.Transaction(version, operation, transaction_properties=properties)
        committed = lance.LanceDataset.commit(table, transaction)
        settle(committed, [])
        if committed.version == version + 1 and fence is not None:
            # Nobody came between: no need to read the ledger again.
            self._ledger.add(receipts, committed.version)
        self._table = committed

    def _latest(self) -> lance.LanceDataset:
        """Look at the latest version; to open a table of 10,000 fragments takes 40 ms, to keep it open nothing."""
        if self._table is None:
            self._table = open_table(self.corpus, "episodes")
        elif self._table.latest_version != self._table.version:
            self._table.checkout_latest()
        return self._table
