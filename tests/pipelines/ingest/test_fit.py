"""`villa ingest --fit`: frames that are not square become so without a word never, and in one way for a dataset."""

import json
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from typer.testing import CliRunner

from cli.app import app
from dataengine.formats.video import video
from dataengine.store import Corpus
from tests.support.npz_source import write_parts
from tests.support.something_something_tree import VIDEOS, entry, write_json

SIZES = {"1": (60, 80), "2": (60, 60)}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A wide clip and a square one; the wide one is white at its left and right ends."""
    folder = tmp_path / "raw"
    (folder / VIDEOS).mkdir(parents=True)
    for name, (height, width) in SIZES.items():
        picture = np.full((height, width, 3), 90, np.uint8)
        picture[:, :10] = picture[:, -10:] = 250
        video.encode(folder / VIDEOS / f"{name}.webm", [picture] * 4, 12, "vp9")
    write_json(folder, "train", [entry(name) for name in SIZES])
    write_json(folder, "validation", [])
    return folder


def villa(*argv: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in argv])
    return done.exit_code, done.output


def ingest(raw: Path, *argv: object) -> tuple[int, str]:
    where = ("--corpus", raw.parent / "corpus", "--workers", 1, "--set", "frame_size=32")
    return villa("ingest", "something_something", raw, *where, *argv)


def stored(corpus: Path) -> dict[str, tuple[tuple[int, int], np.ndarray, dict[str, str]]]:
    """By record: size that the columns state, the first picture, the notes."""
    opened = Corpus.open(corpus)
    by_record = {}
    for episode_id in opened.episode_ids():
        episode = opened.episode(episode_id)
        size = (episode.column("height_primary"), episode.column("width_primary"))
        picture = simplejpeg.decode_jpeg(episode.jpegs("primary", [0])[0])
        by_record[episode.column("source_record")] = (size, picture, json.loads(episode.column("notes")))
    return by_record


def show(corpus: Path, episode: str) -> str:
    """What `villa show` says of cameras."""
    report = json.loads(villa("show", corpus, episode, "--json")[1])
    return "; ".join(f"{slot} {size}" for slot, size in report["cameras"].items())


@pytest.mark.usefixtures("inline")
def test_a_shape_that_is_lost_is_told_once_for_each_dataset(raw: Path) -> None:
    code, said = ingest(raw)
    assert code == 0, said
    line = "frames 60x80 are squashed to 32x32 (25% of the width lost); --fit pad|crop keeps the shape"
    assert said.count("squashed") == 1
    assert line in said
    size, _, notes = stored(raw.parent / "corpus")["1"]
    assert size == (32, 32)
    assert "frames_fit" not in notes
    assert f"something_something: {line}" in villa("corpus", "info", raw.parent / "corpus")[1]


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(
    ("fit", "line"),
    [
        ("pad", "frames 60x80 are padded to 32x32"),
        ("crop", "frames 60x80 are cropped to 32x32 (25% of the width cut off)"),
    ],
)
def test_frames_keep_their_shape_where_that_is_asked_for(raw: Path, fit: str, line: str) -> None:
    code, said = ingest(raw, "--fit", fit)
    assert code == 0, said
    assert line in said
    assert "keeps the shape" not in said
    for record, (size, picture, notes) in stored(raw.parent / "corpus").items():
        assert (size, picture.shape[:2], notes["frames_fit"]) == ((32, 32), (32, 32), fit)
        if record == "1":
            assert (picture[16, 0].mean() > 200) == (fit == "pad")
            assert (picture[0].mean() < 10) == (fit == "pad")
    again = ingest(raw, "--fit", fit)
    assert again[0] == 0
    assert "nothing to do" in again[1]
    facts = json.loads(villa("corpus", "info", raw.parent / "corpus", "--json")[1])["datasets"][0]
    assert (facts["fit"], facts["frames"]) == (fit, line)
    cameras = [show(raw.parent / "corpus", i) for i in Corpus.open(raw.parent / "corpus").episode_ids()]
    assert sorted(cameras) == [
        "primary 32x32 (shipped 60x60)",
        f"primary 32x32 (shipped 60x80, {fit}{'ded' if fit == 'pad' else 'ped'})",
    ]


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(("first", "then"), [("squash", "pad"), ("crop", "squash"), ("pad", "crop")])
def test_a_dataset_keeps_the_fit_that_it_has(raw: Path, first: str, then: str) -> None:
    assert ingest(raw, "--fit", first)[0] == 0
    before = Corpus.open(raw.parent / "corpus").version
    clip = [np.full((60, 80, 3), 50, np.uint8)] * 4
    video.encode(raw / VIDEOS / "3.webm", clip, 12, "vp9")
    write_json(raw, "validation", [entry("3")])
    for argv in ((), ("--dry-run",)):
        code, said = ingest(raw, "--fit", then, *argv)
        assert code == 2
        assert f"has frames of something_something with fit {first}, asked for {then}; a dataset keeps one" in said
        corpus = raw.parent / "corpus"
        assert f"give --fit {first}, or `villa corpus drop {corpus} something_something` first" in said
    assert Corpus.open(raw.parent / "corpus").version == before
    assert ingest(raw, "--fit", first)[0] == 0
    assert len(stored(raw.parent / "corpus")) == 3


@pytest.mark.usefixtures("inline")
def test_a_plan_says_it_for_all_or_for_one_and_not_twice_for_a_dataset(raw: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    entries = "datasets:\n- {source: something_something, root: raw}\n"
    plan.write_text(f"fit: crop\nframe_size: 32\n{entries}")
    code, said = villa("ingest", "--plan", plan, "--corpus", tmp_path / "planned", "--workers", 1)
    assert code == 0, said
    assert "something_something: frames 60x80 are cropped to 32x32" in said
    (tmp_path / "more").symlink_to(raw)
    plan.write_text(f"{entries}- {{source: something_something, root: more, fit: pad}}\n")
    code, said = villa("ingest", "--plan", plan, "--corpus", tmp_path / "other", "--workers", 1)
    assert code == 2
    assert "\n" not in said.strip()


@pytest.mark.usefixtures("inline")
def test_a_source_of_ones_own_that_only_squashes_says_so(tmp_path: Path) -> None:
    write_parts(tmp_path / "raw", num_parts=1)
    source = "tests.support.npz_source:NpzSource"
    argv = ("ingest", source, tmp_path / "raw", "--corpus", tmp_path / "corpus", "--workers", 1)
    code, said = villa(*argv, "--fit", "pad")
    assert code == 2
    assert "npz takes no --fit pad: its class has no field `fit`; leave --fit out, or add the field" in said
    assert villa(*argv)[0] == 0
