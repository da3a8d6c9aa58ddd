"""Labels of an episode and of the very video that it was ingested from: JPEG at rest is all that lies between them.

Frames at rest were encoded once, with quality 92; those of a video were not. A latent action is the nearest row of a
codebook, so that a picture a level or two off moves one that lies about half-way between two rows: a few of a hundred
codes. What must be equal to the last bit are the pictures before that encoding, and their times.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from dataengine.formats import jpeg
from dataengine.formats.video import video
from dataengine.framing import Framing
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from pipelines import ingest, label
from pipelines.label.video import LabelVideoConfig
from pipelines.label.video import run as label_video
from tests.support.labelled import labels_of
from tests.support.lams import make_lam
from tests.support.something_something_tree import VIDEOS, entry, write_json

CLIPS = {"7": (240, 320), "8": (300, 200), "9": (120, 160)}
SHARE = 0.95
"""Of codes that agree, at least; 0.98 to 1.00 were measured."""


def scene(height: int, width: int, seed: int) -> np.ndarray:
    """Soft patches behind a disc that wanders: pictures (t, height, width, 3)."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    colours = [
        draw.uniform(60, 200) + 50 * np.sin(2 * np.pi * (draw.uniform(1, 4, 2) @ [y.ravel(), x.ravel()])) for _ in "rgb"
    ]
    back = np.stack(colours, axis=-1).reshape(height, width, 3)
    at = 0.45 + 0.3 * np.sin(np.cumsum(draw.normal(0.05, 0.08, (72, 2)), axis=0))
    shown = []
    for down, right in at:
        disc = ((y - down * 0.7) ** 2 + (x - right * 0.7) ** 2 < 0.12**2)[..., None]
        shown.append(np.where(disc, (230, 220, 40), back))
    return np.stack(shown).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=[Framing(), Framing(200, "crop")], ids=["squash", "crop"])
def framing(request: pytest.FixtureRequest) -> Framing:
    """How frames are asked to come to rest: as always, or not."""
    return request.param


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, framing: Framing) -> Path:
    """Three clips of people, of several shapes, ingested; and a model whose codes tell their pictures apart."""
    root = tmp_path_factory.mktemp("agreement")
    (root / "raw" / VIDEOS).mkdir(parents=True)
    for i, (name, size) in enumerate(CLIPS.items()):
        video.encode(root / "raw" / VIDEOS / f"{name}.webm", list(scene(*size, seed=i)), 12, "vp9")
    write_json(root / "raw", "train", [entry(name) for name in CLIPS])
    write_json(root / "raw", "validation", [])
    raw = {"source": "something_something", "root": str(root / "raw"), "workers": 1}
    raw |= {"frame_size": framing.side, "fit": framing.fit}
    ingest.run(ingest.IngestConfig(corpus=str(root / "corpus"), **raw))
    corpus = Corpus.open(root / "corpus")
    make_lam(
        root / "lam",
        [data for i in corpus.episode_ids() for data in corpus.episode(i).jpegs("primary")],
        interval_s=0.4,
    )
    remember(root / "lam", TableReader(corpus))
    label.run(label.LabelConfig(corpus=corpus.uri, lam=root / "lam"))
    return root


def remember(lam: Path, reader: TableReader) -> None:
    """Have a model say of its data what training would."""
    framings = {name: asdict(one) for name, one in reader.identity.framings.items()}
    stated = json.loads((lam / "model_config.json").read_text())
    (lam / "model_config.json").write_text(json.dumps({**stated, "data": {"framings": framings}}))


def test_pictures_are_equal_but_for_their_encoding(root: Path, framing: Framing) -> None:
    corpus = Corpus.open(root / "corpus")
    for episode_id in corpus.episode_ids():
        episode = corpus.episode(episode_id)
        shown = video.stretches(episode.column("source_uri"), 10.0, framing)
        assert [jpeg.encode(picture) for _, picture, _ in shown] == list(episode.jpegs("primary"))


def test_an_episode_and_its_video_have_the_same_labels(root: Path, framing: Framing) -> None:
    names = [str(root / "raw" / VIDEOS / f"{name}.webm") for name in CLIPS]
    out = root / "latents.npz"
    report = label_video(LabelVideoConfig(videos=names, lam=root / "lam", out=out, rate_hz=10.0, device="cpu"))
    assert (report.frame_size, report.fit) == (framing.side, framing.fit)
    of_videos, stored = np.load(out), labels_of(str(root / "corpus"), "lam")
    for i, name in enumerate(CLIPS):
        codes = of_videos["codes"][of_videos["video"] == i]
        taught = stored[name][1][stored[name][1][:, 0] >= 0]
        assert codes.shape == taught.shape
        assert len(np.unique(codes, axis=0)) > 4
        assert (codes == taught).mean() >= SHARE


def test_what_is_asked_for_comes_first_and_several_fits_have_to_be_told_apart(root: Path, tmp_path: Path) -> None:
    lam = tmp_path / "lam"
    shutil.copytree(root / "lam", lam)
    kwargs = {"videos": [str(root / "raw" / VIDEOS / "9.webm")], "lam": lam, "device": "cpu"}
    report = label_video(LabelVideoConfig(**kwargs, out=tmp_path / "a.npz", fit="pad", frame_size=64))
    assert (report.frame_size, report.fit) == (64, "pad")
    stated = json.loads((lam / "model_config.json").read_text())
    several = {"a": {"side": 256, "fit": "squash"}, "b": {"side": 128, "fit": "pad"}}
    (lam / "model_config.json").write_text(json.dumps({**stated, "data": {"framings": several}}))
    with pytest.raises(DataEngineError, match=r"frames of several fits \(a squash, b pad\); say which with --fit"):
        label_video(LabelVideoConfig(**kwargs, out=tmp_path / "b.npz"))
    report = label_video(LabelVideoConfig(**kwargs, out=tmp_path / "b.npz", fit="pad"))
    assert (report.frame_size, report.fit) == (128, "pad")
    (lam / "model_config.json").write_text(json.dumps({**stated, "data": {"framings": {"a": {"side": -1}}}}))
    with pytest.raises(DataEngineError, match=r"model_config.json: data.framings is damaged .* copy it again"):
        label_video(LabelVideoConfig(**kwargs, out=tmp_path / "c.npz"))
