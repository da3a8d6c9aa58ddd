"""What our own commands wrote: shards, what a killed run left in a corpus, plans, recipes and settings."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.group import Group, allowed, digest


def build_shards(root: Path) -> None:
    from tests.support.shards import made_reader, write

    write(root, made_reader())


def read_shards(root: Path) -> str:
    from dataengine.shards.reader import ShardReader

    stored = ShardReader(root)
    facts: list[Any] = [vars(stored.identity), stored.statistics(), stored.manifest.get("num_steps")]
    facts += [stored.latent_info(lam) for lam in stored.latents]
    for info in stored.episodes:
        numbers = (stored.state(info.row), stored.action(info.row), *stored.latent(info.row, "lam"))
        facts += [info, *(None if one is None else hashlib.sha256(one.tobytes()).hexdigest() for one in numbers)]
        for slot in info.cameras:
            jpegs = stored.jpegs(slot, [(info.row, frame) for frame in range(info.num_steps)])
            facts.append([hashlib.sha256(jpeg).hexdigest() for jpeg in jpegs])
    return digest(facts)


PLAN = """\
data: .
frame_size: 64
frame_hz: 5.0
datasets:
  - {source: agibot, root: a, optional: true}
  - {source: openx/fetch, root: "b*", frame_size: 32, options: {keep_failures: true}}
"""

CURATE = """\
drop_still: {min_reach_m: 0.01}
drop_jumps: {}
drop_outliers:
trim_idle:
"""

MIXTURE = """\
weights: {a: 1.0, b: frames}
fractions: {a: 0.5}
optional: [b]
temperature: 2.0
human_share: 0.5
"""

SETTINGS = """\
out: run
steps: 100
lr: 0.001
betas: [0.9, 0.99]
augment: {crop_area: [0.8, 1.0], hue: 0.1}
mixture: {weights: {a: 1.0}}
model: {encoder_depth: 2, num_codes: 16}
preset: tiny
"""


def build_recipes(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "plan.yaml").write_text(PLAN)
    (root / "curate.yaml").write_text(CURATE)
    (root / "mixture.yaml").write_text(MIXTURE)
    (root / "settings.yaml").write_text(SETTINGS)


def read_recipes(root: Path) -> None:
    from cli.settings import Settings
    from dataengine.windows.mixture import Mixture
    from pipelines.curate.recipe import load_recipe
    from pipelines.ingest.plan import load_plan
    from pipelines.recipes import recipes
    from pipelines.training.lam.lam import TrainLamConfig

    def mixed() -> None:
        mixture = Mixture.model_validate(recipes.load("mixture", str(root / "mixture.yaml")))
        mixture.shares({"a": 100, "b": 200}, frozenset("b"), {"a": "x", "b": "y"})

    uses: tuple[Callable[[], Any], ...] = (
        lambda: load_plan(str(root / "plan.yaml")),
        lambda: load_recipe(str(root / "curate.yaml")),
        mixed,
        lambda: Settings(root / "settings.yaml").fill(TrainLamConfig, data="none"),
    )
    for use in uses:
        with allowed():
            use()


def build_corpus(root: Path) -> None:
    """Receipts that a killed run left behind, and what a corpus remembers."""
    from dataengine.episode import Part
    from dataengine.store import Corpus, Staging, stage_part
    from dataengine.store.registry import register
    from tests.support.corpora import human_clip, make_corpus

    corpus = make_corpus(root / "corpus", {"first": [human_clip("a", num_steps=3)]})
    assert Corpus.exists(corpus.uri)
    ids = {
        "dataset_ids": register(corpus.uri, "datasets", [{"name": "made"}]),
        "embodiment_ids": register(corpus.uri, "embodiments", [{"name": "human_hand"}]),
    }
    part = Part(dataset="made", name="second", uri="memory", num_bytes=1, fingerprint="second", options={})
    stage_part(part, [human_clip("b", num_steps=3)], Staging(corpus=corpus.uri, run_id="test", **ids))


def read_corpus(root: Path) -> None:
    from dataengine.digest import stable_id
    from dataengine.store import Committer

    committer = Committer(str(root / "corpus"), "fuzz")
    committer.ledger()
    for receipt in committer.receipts.staged([stable_id("made", "second")]):
        committer.receipts.missing_file(receipt)
        committer.commit([receipt])


GROUPS = {
    "shards": Group(build=build_shards, read=read_shards, equal=True),
    "recipes": Group(build=build_recipes, read=read_recipes),
    "corpus": Group(build=build_corpus, read=read_corpus, prey=("*.json", "ledger.arrow")),
}
