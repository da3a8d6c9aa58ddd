"""Looks at a corpus, or at one of its episodes: facts, ranges, and a picture."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from dataengine import texts
from dataengine.camera_names import CAMERA_NOTES, camera_name, camera_title
from dataengine.config import MOST, Config
from dataengine.errors import DataEngineError
from dataengine.framing import Fit
from dataengine.notes import fit_noted, is_serious
from dataengine.report import Report
from dataengine.schema import CUT, KEEP, VECTORS
from dataengine.vector_layout import LAYOUT_NOTES
from dataengine.windows import labels
from pipelines.corpus.drawing import check_out, draw_episode
from pipelines.corpus.health import DatasetFacts, dataset_table, datasets
from pipelines.corpus.names import find_episode
from pipelines.output.text_table import labelled, text_table

if TYPE_CHECKING:
    from dataengine.store import Corpus
    from dataengine.store.read.episode import StoredEpisode

EXAMPLES, MOST_EXAMPLES = 2, 20
"""Episodes that are named of each of all datasets, and of one that was asked for."""
MOST_LETTERS = 400
"""Letters of a note that are printed; the report has all of it."""


class ShowConfig(Config):
    """What to look at."""

    corpus: str
    episode: str | None = None
    """Id of an episode, or its first letters, or the name of a dataset; without one the whole corpus."""
    limit: int | None = Field(None, ge=0, le=MOST)
    """Episodes that are named of each dataset, 0 for all; by default a few."""
    out: Path | None = None
    """Picture to write; only with an episode."""
    frames: int = Field(12, ge=1, le=64)
    """Frames of the picture, evenly spaced."""
    latent: list[str] = Field(default_factory=list)
    """Latent actions that the picture shows, by the names of their columns; all that the episode has by default."""


class ExampleEpisode(Report):
    """An episode to look at next."""

    episode_id: str
    dataset: str
    steps: int
    instruction: str


class CorpusReport(Report):
    """Datasets of a corpus, and a few episodes of each."""

    corpus: str
    episodes: int
    steps: int
    datasets: list[DatasetFacts]
    examples: list[ExampleEpisode]

    def summary(self) -> str:
        """Print both tables, and how to see the episodes that they leave out."""
        rows = [[e.episode_id, e.dataset, e.steps, e.instruction] for e in self.examples]
        table = text_table(["episode", "dataset", "steps", "instruction"], rows)
        total = f"{self.corpus}: {self.episodes:,} episodes, {self.steps:,} steps"
        left_out = self.episodes - len(self.examples)
        hint = f"{'some' if left_out else 'all'} of them, each for `villa show {self.corpus} EPISODE`:"
        dataset = self.datasets[0].name if len(self.datasets) == 1 else "DATASET"
        more = f"\nand {left_out:,} more: `villa show {self.corpus} {dataset} --limit 0` lists all of a dataset"
        return f"{total}\n{dataset_table(self.datasets)}\n\n{hint}\n{table}{more if left_out else ''}"


class Range(Report):
    """How far one dimension of a vector goes."""

    vector: str
    dim: int
    name: str
    unit: str
    min: float
    mean: float
    max: float


class EpisodeReport(Report):
    """One episode."""

    episode_id: str
    dataset: str
    embodiment: str
    kind: str
    split: str
    steps: int
    seconds: float
    control_hz: float
    instruction: list[str]
    """Every different phrase."""
    texts: list[dict[str, Any]]
    """What is said, and at which steps: `start` to `end`, without `end`; `phrases` are paraphrases."""
    cameras: dict[str, str]
    """Slot to height x width, as stored and as shipped, and how it changed its shape."""
    camera_names: dict[str, str]
    """Slot to what the publisher calls the camera; the slot where nobody says."""
    state_encoding: str
    action_encoding: str
    dims: dict[str, int]
    """Width of each vector; 0 where there is none."""
    ranges: list[Range]
    source_uri: str
    source_record: str
    licence: str
    clip: dict[str, Any]
    """Of a clip of a longer video: which, from when to when, its label's range in seconds, who wrote the text."""
    notes: dict[str, str]
    """What the source decided for it."""
    hands: dict[str, float]
    """Side to the share of steps at which that hand is there; empty where the source tells of none."""
    hands_meaning: str
    """Who tells of the hands, and what of them."""
    keep: bool | None
    """None before curation."""
    reject_reason: str
    labels: list[str]
    """Models whose latent actions it has."""
    picture: str

    def summary(self) -> str:
        """Print the facts, then the ranges."""
        seconds = f"{self.steps} steps at {self.control_hz:g} Hz, {self.seconds:.1f} s"
        verdict = {None: "not curated", True: "kept", False: f"dropped: {self.reject_reason}"}[self.keep]
        facts = {
            "episode": self.episode_id,
            "from": f"{self.dataset}, {self.source_record} ({self.licence}, split {self.split})",
            "file": self.source_uri,
            **({"clip": self._clip()} if self.clip else {}),
            "embodiment": f"{self.embodiment} ({self.kind})",
            "length": seconds,
            "instruction": texts.summary(texts.from_row(self.texts, (), self.steps), self.steps) or "none",
            "cameras": "; ".join(f"{camera_title(s, self.notes)} {size}" for s, size in self.cameras.items()) or "none",
            "vectors": ", ".join(f"{name} {dim}" for name, dim in self.dims.items()),
            "encodings": f"state {self.state_encoding}, action {self.action_encoding}",
            **({"hands": self._hands()} if self.hands else {}),
            "curation": verdict,
            "latent actions": ", ".join(self.labels) or "none",
        }
        if self.picture:
            facts["picture"] = self.picture
        lines = labelled({name: [value] for name, value in facts.items()} | self._notes())
        rows = [[r.vector, r.dim, r.name, r.unit, r.min, r.mean, r.max] for r in self.ranges]
        table = ["", text_table(["vector", "dim", "what", "unit", "min", "mean", "max"], rows)] if rows else []
        return "\n".join([lines, *table])

    def _clip(self) -> str:
        line = (
            "{clip_start_s:.2f} to {clip_end_s:.2f} s of video {video}, labelled {label_start_s:.2f} to "
            "{label_end_s:.2f} s, split group {split_group}, text by {text_source}"
        )
        return line.format(**self.clip)

    def _hands(self) -> str:
        shares = ", ".join(f"{side} at {share:.0%} of steps" for side, share in self.hands.items())
        return f"{shares}; {self.hands_meaning}"

    def _notes(self) -> dict[str, list[str]]:
        """Print notes, a paragraph each: first what everybody must know; what else of the report tells is left out."""
        notes = {key: text for key, text in self.notes.items() if key not in LAYOUT_NOTES | CAMERA_NOTES}
        serious = [_note(key, text) for key, text in notes.items() if is_serious(key)]
        others = [_note(key, text) for key, text in notes.items() if not is_serious(key)]
        return ({"must know": serious} if serious else {}) | {
            "notes": others or ["none" if not serious else "no others"]
        }


def _note(key: str, text: str) -> str:
    """Print a note with room to break lines, and no more of it than a person reads."""
    roomy = re.sub(r",(?=[^ ])", ", ", text)
    if len(roomy) <= MOST_LETTERS:
        return f"{key}: {roomy}"
    shown = roomy[:MOST_LETTERS].rpartition(" ")[0] or roomy[:MOST_LETTERS]
    return f"{key}: {shown} ... and {len(roomy) - len(shown):,} more letters (--json has them)"


def run(config: ShowConfig) -> CorpusReport | EpisodeReport:
    """Look at the corpus or at the episode."""
    from dataengine.store import Corpus

    if config.out:
        if not config.episode:
            raise DataEngineError(f"--out {config.out}: give an EPISODE to draw")
        check_out(config.out)
    corpus = Corpus.open(config.corpus)
    if config.episode is None or (config.episode in corpus.datasets() and not config.out):
        return _corpus(corpus, config)
    every = labels.label_names(corpus.schema)
    episode = corpus.episode(find_episode(corpus, config.episode))
    if config.out:
        labelled_by = [labels.label_info(corpus.schema, name) for name in config.latent or every]
        draw_episode(episode, config.out, config.frames, labelled_by)
    return _episode(corpus, episode, config.out)


def _corpus(corpus: "Corpus", config: ShowConfig) -> CorpusReport:
    """Sum up, and name a few episodes of each dataset."""
    facts = [f for f in datasets(corpus) if config.episode in (None, f.name)]
    most = config.limit if config.limit is not None else EXAMPLES if config.episode is None else MOST_EXAMPLES
    said = [name for name in ("instruction", "texts") if name in corpus.schema.names]
    rows = corpus.table(["episode_id", "dataset", "num_steps", *said]).to_pylist()
    examples = [
        ExampleEpisode(
            episode_id=row["episode_id"],
            dataset=row["dataset"],
            steps=row["num_steps"],
            instruction=texts.summary(
                texts.from_row(row.get("texts"), row["instruction"], row["num_steps"]), row["num_steps"]
            ),
        )
        for f in facts
        for row in [row for row in rows if row["dataset"] == f.name][: most or None]
    ]
    return CorpusReport(
        corpus=config.corpus,
        episodes=sum(f.episodes for f in facts),
        steps=sum(f.steps for f in facts),
        datasets=facts,
        examples=examples,
    )


def _episode(corpus: "Corpus", episode: "StoredEpisode", picture: Path | None) -> EpisodeReport:
    """Collect what is known of an episode."""
    vectors = {name: getattr(episode, name) for name in VECTORS}
    names = ("state_encoding", "action_encoding", "source_uri", "source_record", "licence")
    facts = {name: episode.column(name) or "" for name in names}
    sizes = {
        slot: [episode.column(f"{n}_{slot}") for n in ("height", "width", "native_height", "native_width")]
        for slot in episode.cameras
    }
    return EpisodeReport(
        **facts,
        episode_id=episode.episode_id,
        dataset=episode.dataset,
        embodiment=episode.embodiment,
        kind=episode.kind,
        split=episode.split,
        steps=episode.num_steps,
        seconds=episode.num_steps / episode.control_hz,
        control_hz=episode.control_hz,
        instruction=episode.instruction,
        texts=texts.to_row(episode.texts),
        cameras={slot: _camera(size, fit_noted(episode.notes)) for slot, size in sizes.items()},
        camera_names={slot: camera_name(slot, episode.notes) for slot in sizes},
        dims={name: 0 if vector is None else vector.shape[1] for name, vector in vectors.items()},
        ranges=[
            Range(
                vector=name,
                dim=i,
                name=layout.name(i),
                unit=layout.units[i],
                min=float(x.min()),
                mean=float(x.mean()),
                max=float(x.max()),
            )
            for name in ("state", "action")
            if (vector := vectors[name]) is not None
            for layout in [episode.layout(name)]
            for i, x in enumerate(vector.T)
        ],
        clip=_clip(corpus, episode),
        hands=dict(episode.hands.presence()) if episode.hands else {},
        hands_meaning=episode.hands.about() if episode.hands else "",
        keep=episode.column(KEEP) if corpus.is_curated else None,
        reject_reason=(episode.column("reject_reason") if corpus.is_curated else "") or "",
        labels=[name for name in labels.label_names(corpus.schema) if episode.column(labels.codes_column(name))],
        notes=episode.notes,
        picture=str(picture or ""),
    )


def _clip(corpus: "Corpus", episode: "StoredEpisode") -> dict[str, Any]:
    """Tell which stretch of which video an episode is; nothing of a robot, or in a corpus from before clips."""
    names = [field.name for field in CUT]
    if not set(names) <= set(corpus.schema.names) or episode.column("video") is None:
        return {}
    return {name: episode.column(name) for name in names}


def _camera(sizes: Sequence[int], fit: Fit) -> str:
    """Tell height and width of a camera's frames, those shipped, and what became of their shape where it changed."""
    height, width, native_height, native_width = sizes
    did = {"squash": "squashed", "pad": "padded", "crop": "cropped"}[fit]
    is_same = native_height * width == height * native_width
    return f"{height}x{width} (shipped {native_height}x{native_width}{'' if is_same else f', {did}'})"
