"""Writes latent actions into the corpus: one for every frame of every kept episode, of robots and humans alike.

Frames p, p + K, p + 2K ... of an episode form a clip for each phase p below K, and its latent actions are what
`Lam.encode` says of that clip, or without past frames of each of its pairs by itself. K follows from the model's frame
spacing and the episode's control rate.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from dataengine.episode import CAMERA_SLOTS
from dataengine.errors import DataEngineError
from dataengine.progress import task
from dataengine.report import Report
from dataengine.store import Corpus
from dataengine.store.kept import lacks
from dataengine.windows import labels
from dataengine.windows.window import LatentInfo, steps_per_latent
from models.fingerprint import fingerprint
from pipelines.label import work as label_work
from pipelines.label.config import LabelConfig
from pipelines.label.precision import CodesCompared, Precision
from pipelines.label.work import LabelledRow, Labeller, Unlabelled, cut_work, label_episodes
from pipelines.output.text_table import text_table

if TYPE_CHECKING:
    from models.lam import Lam


class CodebookUse(Report):
    """How one dataset uses the codebook."""

    dataset: str
    latents: int
    num_codes: int
    used: list[int]
    """Codes that occur, by slot."""
    perplexity: list[float]
    """Codes in effect (exponential of the entropy), by slot."""
    commonest: float
    """Share of the commonest tuple of codes: near 1, the latents say the same of everything."""


class LabelReport(Report):
    """What was labelled."""

    corpus: str
    lam: str
    name: str
    fingerprint: str
    k: int
    d: int
    interval_s: float
    past_frames: bool = True
    """Whether latent actions may depend on frames before their first."""
    episodes: int
    """Episodes labelled by this call."""
    already: int
    """Episodes that an earlier call had labelled."""
    without_camera: int
    """Kept episodes that have no such camera, and so no labels."""
    frames: int
    """Frames of the episodes labelled by this call."""
    unreadable: int
    """Frames left without a latent action because a picture is broken."""
    precision: Precision = "fp32"
    """Of the model's products."""
    codes_compared: int = 0
    """Codes of this call that were computed in float32 too; 0 where all were."""
    codes_differ: int = 0
    """Those of them that came out differently."""
    usage: list[CodebookUse] = Field(default_factory=list)
    """Over everything this model has labelled."""
    seconds: float
    frames_per_s: float

    def summary(self) -> str:
        """Say what was done and print a row per dataset."""
        if self.episodes:
            did = f"labelled {self.episodes} episodes, {self.frames} frames, {self.frames_per_s:.0f}/s"
            did += f"; {self.already} were labelled before" if self.already else ""
        else:
            did = f"nothing to do: all {self.already} episodes are labelled"
        kind = "" if self.past_frames else ", without past frames"
        lines = [f"{did} (codes__{self.name}{kind}, {self.seconds:.1f} s)"]
        if self.without_camera:
            lines.append(f"{self.without_camera} episodes have no such camera and were left out")
        if self.codes_compared:
            share = self.codes_differ / self.codes_compared
            lines.append(f"{self.precision}: {share:.2%} of {self.codes_compared} codes are others than in float32")
        if self.unreadable:
            lines.append(f"{self.unreadable} frames could not be decoded and have no latent action")
        rows = [
            [u.dataset, u.latents, f"{min(u.used)} to {max(u.used)} of {u.num_codes}", min(u.perplexity), u.commonest]
            for u in self.usage
        ]
        head = ["dataset", "latents", "codes used", "least perplexity", "share of commonest"]
        return "\n".join([*lines, text_table(head, rows)])


def run(config: LabelConfig) -> LabelReport:
    """Label what has no label yet, fragment by fragment; killed and called again, it goes on."""
    start = time.monotonic()
    corpus = Corpus.open(config.corpus)
    corpus.check_writable()
    labeller = _labeller(config, corpus.uri)
    # on a cluster only its settings are needed here
    driver = labeller if config.engine == "local" else replace(labeller, device="cpu", precision="fp32")
    lam = driver.load()
    info = _info(config, lam)
    _check_camera(corpus, config.slot)
    version = corpus.version
    codebook = lam.vq.embedding.weight.float().numpy(force=True)
    claim(corpus, info, config.slot, codebook)
    plans = {i: _plan(corpus, info, config.slot, i) for i in corpus.fragment_ids()}
    todo = {i: plan.episodes for i, plan in plans.items() if plan.episodes}
    compared = CodesCompared()
    unreadable, num_frames = 0, sum(e.num_steps for plan in plans.values() for e in plan.episodes)
    done: dict[int, list[LabelledRow]] = {i: [] for i in todo}
    with task("label", num_frames, "frames") as live, closing(_labelled(config, labeller, lam, todo)) as labelled:
        for fragment_id, rows in labelled:
            live.advance(sum(row.num_steps for row in rows))
            unreadable += sum(row.unreadable for row in rows)
            compared = sum((row.compared for row in rows), compared)
            done[fragment_id] += rows
            if len(done[fragment_id]) == len(todo[fragment_id]):
                corpus.update_fragment(fragment_id, _columns(corpus.schema, info, done.pop(fragment_id)))
    seconds = time.monotonic() - start
    report = LabelReport(
        corpus=config.corpus,
        lam=str(config.lam),
        name=info.name,
        fingerprint=info.fingerprint,
        k=info.k,
        d=info.d,
        interval_s=info.interval_s,
        past_frames=info.past_frames,
        episodes=sum(len(plan.episodes) for plan in plans.values()),
        already=sum(plan.already for plan in plans.values()),
        without_camera=sum(plan.without_camera for plan in plans.values()),
        frames=num_frames,
        unreadable=unreadable,
        precision=info.precision,
        codes_compared=compared.codes,
        codes_differ=compared.differ,
        usage=codebook_use(corpus, info, lam.config.num_codes),
        seconds=round(seconds, 3),
        frames_per_s=round(num_frames / seconds, 1),
    )
    if report.episodes:
        counts = report.model_dump(include={"name", "fingerprint", "episodes", "frames", "unreadable"})
        run = {"command": "label", "config": config.model_dump(mode="json"), "seconds": report.seconds}
        versions = {"version_in": version, "version_out": corpus.version}
        corpus.append_run({**run, **versions, "steps_per_second": report.frames_per_s, "counts": counts})
    return report


def _info(config: LabelConfig, lam: "Lam") -> LatentInfo:
    """Describe the labels that these settings ask for."""
    return LatentInfo(
        name=labels.label_name(config.name or config.lam.resolve().name),
        fingerprint=fingerprint(config.lam),
        k=lam.config.num_slots,
        d=lam.config.latent_dim,
        interval_s=config.interval_s or lam.config.interval_s,
        past_frames=config.past_frames,
        precision=config.precision,
    )


def _height(slot: str) -> str:
    """Column that is NULL where an episode has no such camera."""
    return f"height_{slot}"


def _check_camera(corpus: Corpus, slot: str) -> None:
    """Refuse a camera that nobody has, before any column is made for it."""
    having = [s for s in CAMERA_SLOTS if pc.sum(corpus.table([_height(s)])[0].is_valid()).as_py()]
    if slot not in having:
        there = ", ".join(having) or "none"
        raise DataEngineError(f"{corpus.uri}: no episode has a camera '{slot}'; cameras there: {there}")


def claim(corpus: Corpus, info: LatentInfo, slot: str, codebook: NDArray[np.float32] | None = None) -> None:
    """Add the model's columns, or make sure that those of this name are its own."""
    if labels.codes_column(info.name) not in corpus.schema.names:
        corpus.ensure_columns(labels.label_fields(info, slot, codebook))
        return
    held, held_slot = labels.label_info(corpus.schema, info.name), labels.label_slot(corpus.schema, info.name)
    if held.fingerprint != info.fingerprint:
        raise DataEngineError(
            f"column codes__{info.name} was written by model {held.fingerprint}, this one is {info.fingerprint}; "
            f"labels are never overwritten: give this model another --name"
        )
    if held.interval_s != info.interval_s:
        raise DataEngineError(
            f"column codes__{info.name} spans {held.interval_s:g} s, asked for {info.interval_s:g} s; "
            f"give another --name"
        )
    if held.past_frames != info.past_frames:
        raise DataEngineError(
            f"column codes__{info.name} was read {held.kind}, asked for {info.kind}; give another --name"
        )
    if held.precision != info.precision:
        raise DataEngineError(
            f"column codes__{info.name} was computed in {held.precision}, asked for {info.precision}; "
            f"give another --name"
        )
    if held_slot != slot:
        raise DataEngineError(
            f"column codes__{info.name} holds what camera '{held_slot}' saw, asked for '{slot}'; give another --name"
        )


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What one fragment still needs."""

    episodes: list[Unlabelled]
    already: int
    without_camera: int


def _plan(corpus: Corpus, info: LatentInfo, slot: str, fragment_id: int) -> _Plan:
    """Find the kept episodes of a fragment that have no labels."""
    names = ["episode_id", "num_steps", "control_hz", labels.codes_column(info.name)]
    table = corpus.fragment_table(fragment_id, names)
    done = table[labels.codes_column(info.name)].is_valid().to_numpy(zero_copy_only=False)
    choice = corpus.kept(slots=[slot], fragment_id=fragment_id).choice
    rows = table.select(["_rowid", "episode_id", "num_steps", "control_hz"]).filter(pa.array(choice.mask & ~done))
    return _Plan(
        episodes=[
            Unlabelled(
                rowid=row["_rowid"],
                episode_id=row["episode_id"],
                num_steps=row["num_steps"],
                stride=steps_per_latent(row["control_hz"], info.interval_s),
            )
            for row in rows.to_pylist()
        ],
        already=int(done.sum()),
        without_camera=choice.left_out.get(lacks(f"camera {slot}"), 0),
    )


def _labeller(config: LabelConfig, uri: str) -> Labeller:
    """Say how workers label."""
    return Labeller(
        corpus=uri,
        lam=config.lam.resolve(),
        slot=config.slot,
        batch=config.batch,
        device=config.device,
        threads=config.threads,
        past_frames=config.past_frames,
        precision=config.precision,
    )


def _labelled(
    config: LabelConfig, labeller: Labeller, lam: "Lam", todo: dict[int, list[Unlabelled]]
) -> Generator[tuple[int, list[LabelledRow]]]:
    """Yield the labels of each fragment, a few rows at a time."""
    if config.engine == "local":
        encoder = labeller.make_encoder(lam)
        try:
            owners = (i for i, episodes in todo.items() for _ in episodes)
            rows = label_episodes(encoder, [e for episodes in todo.values() for e in episodes])
            for fragment_id, row in zip(owners, rows, strict=True):
                yield fragment_id, [row]
        finally:
            encoder.close()
        return
    from dataengine.runners import ray

    recipe = replace(labeller, threads=config.threads or 1)
    work = cut_work(todo, label_work.WORK_FRAMES)
    pool = ray.run_actors(recipe, work, workers=config.workers, gpus=config.device != "cpu", address=config.ray_address)
    with closing(pool):
        for done, labelled in pool:
            yield done.fragment_id, labelled


def _columns(held: pa.Schema, info: LatentInfo, rows: Sequence[LabelledRow]) -> pa.Table:
    """Arrange one fragment's labels as the table that `Corpus.update_fragment` takes, in the columns that there are."""
    codebook = labels.label_codebook(held, info.name)
    if codebook is not None:
        for row in rows:
            assert np.array_equal(labels.vectors_of(codebook, row.codes, info.name), row.latent), "vectors are codes"
    arrays = [pa.array([row.rowid for row in rows], pa.uint64())]
    names = labels.label_columns(held, info.name)
    for name in names:
        values = [row.codes if name == labels.codes_column(info.name) else row.latent for row in rows]
        ends = np.cumsum([0, *(value.size for value in values)])
        flat = pa.array(np.concatenate([value.reshape(-1) for value in values]), held.field(name).type.value_type)
        arrays.append(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat))
    return pa.Table.from_arrays(arrays, schema=pa.schema([("_rowid", pa.uint64()), *map(held.field, names)]))


def codebook_use(corpus: Corpus, info: LatentInfo, num_codes: int) -> list[CodebookUse]:
    """Count, for every dataset, the codes that this model has written."""
    counts: dict[str, NDArray[np.int64]] = {}
    tuples: dict[str, dict[bytes, int]] = {}
    column = labels.codes_column(info.name)
    for fragment_id in corpus.fragment_ids():
        table = corpus.fragment_table(fragment_id, ["dataset", column])
        for dataset in table["dataset"].unique().to_pylist():
            flat = table.filter(pc.equal(table["dataset"], dataset))[column].combine_chunks().flatten()
            codes = flat.to_numpy().reshape(-1, info.k)
            codes = np.ascontiguousarray(codes[codes[:, 0] >= 0])
            seen = counts.setdefault(dataset, np.zeros((info.k, num_codes), dtype=np.int64))
            np.add.at(seen, (np.arange(info.k), codes), 1)
            known = tuples.setdefault(dataset, {})
            for row, count in zip(*np.unique(codes, axis=0, return_counts=True), strict=True):
                known[row.tobytes()] = known.get(row.tobytes(), 0) + int(count)
    return [_use(dataset, counts[dataset], tuples[dataset]) for dataset in sorted(counts) if tuples[dataset]]


def _use(dataset: str, counts: NDArray[np.int64], tuples: dict[bytes, int]) -> CodebookUse:
    total = int(counts[0].sum())
    share = counts / total
    entropy = -np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=1)
    return CodebookUse(
        dataset=dataset,
        latents=total,
        num_codes=counts.shape[1],
        used=[int(n) for n in (counts > 0).sum(axis=1)],
        perplexity=[round(float(p), 3) for p in np.exp(entropy)],
        commonest=round(max(tuples.values()) / total, 4),
    )
