"""`villa show` of what `villa label` wrote: codes of one's own video, and codes of an episode of a corpus."""

from pathlib import Path

import numpy as np
import pytest

from dataengine.store import Corpus
from tests.support.corpora import make_corpus, robot_episode
from tests.support.labels import write_labels
from tests.support.video_writer import write_video

GOLDEN = Path(__file__).parents[1] / "models" / "golden_lam"


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """One in which every frame differs, and one of a scene that holds still."""
    folder = tmp_path_factory.mktemp("videos")
    draw = np.random.default_rng(0)
    write_video(folder / "moves.mp4", draw.integers(0, 2048, 60).tolist())
    write_video(folder / "still.mp4", [5] * 48, options={"crf": "0"})  # no noise of the codec
    return folder


@pytest.fixture
def label(villa, videos, tmp_path):
    def run(name, *which):
        argv = ("label", "--video", *(videos / one for one in which), "--lam", GOLDEN, "--device", "cpu")
        said = villa(*argv, "--out", tmp_path / name, "--set", "interval_s=0.2", "--json")
        assert said.code == 0, said.err
        return tmp_path / name, said.report

    return run


@pytest.mark.parametrize("name", ["latents.npz", "latents.lance"])
def test_labels_of_videos_are_a_row_each_and_a_picture(villa, label, tmp_path, name):
    file, labelled = label(name, "moves.mp4", "still.mp4")
    report = villa("show", file, "--out", tmp_path / "codes.svg", "--json").report
    moves, still = report["videos"]
    plain, _ = label("plain.npz", "moves.mp4", "still.mp4")
    arrays = np.load(plain)
    codes, time_s = arrays["codes"][arrays["video"] == 0], arrays["time_s"][arrays["video"] == 0]
    counts = [np.unique(slot, return_counts=True)[1] / len(codes) for slot in codes.T]
    assert (moves["latents"], moves["rate_hz"], moves["begin_s"]) == (len(codes), 5.0, 0.0)
    assert moves["end_s"] == pytest.approx(time_s[-1] + 0.2)
    assert moves["codes_used"] == [len(count) for count in counts]
    assert moves["perplexity"] == pytest.approx([np.exp(-(c * np.log(c)).sum()) for c in counts], abs=1e-3)
    assert (still["hold_still"], still["hold_codes"]) == (1.0, 1.0)
    assert moves["hold_codes"] == pytest.approx((codes == arrays["hold_codes"][arrays["video"] == 0]).mean(), abs=1e-4)
    assert moves["hold_still"] < moves["hold_codes"] < 1
    assert labelled["hold_still"] == pytest.approx(
        (arrays["codes"] == arrays["hold_codes"]).all(axis=1).mean(), abs=1e-4
    )
    assert report["without_frames"] == {}
    drawn = (tmp_path / "codes.svg").read_text()
    titles = ("moves.mp4", "still.mp4", "codes", "0.0 s", "codes: grey holds still")
    assert all(f"<!-- {word} -->" in drawn for word in titles)
    assert villa("show", file).out.splitlines()[3].endswith("100%, 100% of codes")


def test_one_video_is_named_and_one_that_is_gone_is_drawn_without_frames(villa, label, videos, tmp_path):
    copied = videos / "gone.mp4"
    copied.write_bytes((videos / "moves.mp4").read_bytes())
    file, _ = label("latents.npz", "gone.mp4", "still.mp4")
    copied.unlink()
    said = villa("show", file, "gone", "--out", tmp_path / "gone.png")
    assert said.code == 0
    assert "still.mp4" not in said.out
    assert f"drawn without frames: {copied}" in said.out
    assert (tmp_path / "gone.png").stat().st_size > 1000
    again = villa("show", file, "--out", tmp_path / "gone.png")  # it is ours
    assert again.code == 0
    write_video(copied, [1, 2, 3, 4, 5, 6, 7])
    other = villa("show", file, "gone", "--out", tmp_path / "gone.png")
    assert "is it the video that was labelled?" in other.out


def test_labels_from_before_hold_codes_say_that_the_share_is_unknown(villa, label, tmp_path):
    file, _ = label("latents.npz", "moves.mp4")
    arrays = dict(np.load(file))
    del arrays["hold_codes"]
    np.savez(tmp_path / "old.npz", **arrays)
    said = villa("show", tmp_path / "old.npz")
    assert (said.code, said.out.splitlines()[2].split()[-1]) == (0, "-")
    assert "`villa label --video` again tells it" in said.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_s": np.zeros(3)}, "holds no labels"),
        ({"codes": np.zeros((11, 4))}, "holds no labels"),
        ({"codes": np.array([{}], object)}, "no archive of plain arrays"),
        ({"video": None}, "an array lacks"),
        ({"time_s": lambda times: times[::-1]}, "times are no seconds that rise"),
        ({"time_s": lambda times: times * np.nan}, "times are no seconds that rise"),
        ({"time_s": np.array(["a"] * 11)}, "no archive of plain arrays"),
        ({"interval_s": np.array(0.0)}, "interval_s is 0"),
    ],
)
def test_a_file_of_something_else_costs_one_line(villa, label, tmp_path, change, message):
    file, _ = label("latents.npz", "moves.mp4")
    arrays = dict(np.load(file))
    arrays |= {key: value(arrays[key]) if callable(value) else value for key, value in change.items()}
    np.savez(tmp_path / "odd.npz", **{key: value for key, value in arrays.items() if value is not None})
    said = villa("show", tmp_path / "odd.npz")
    assert said.code == 2
    assert message in said.line


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("tea",), "no video 'tea'; there are"),
        (("--out", "codes.csv"), "expected a name that ends in .png, .pdf, .svg"),
        (("--latent", "base"), "--latent is for an episode"),
    ],
)
def test_what_cannot_be_shown_of_labels_costs_one_line(villa, label, argv, expected):
    file, _ = label("latents.npz", "still.mp4")
    said = villa("show", file, *argv)
    assert said.code == 2
    assert expected in said.line


def test_labels_that_are_not_there_say_what_writes_them(villa, tmp_path):
    assert "`villa label --video FILE --lam DIR --out NAME.npz` writes labels" in villa("show", tmp_path / "x.npz").line
    (tmp_path / "text.npz").write_text("no labels")
    assert "holds no labels of `villa label --video`" in villa("show", tmp_path / "text.npz").line


def test_the_picture_of_an_episode_has_the_codes_of_all_models_or_of_one(villa, tmp_path):
    uri = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")]}).uri
    (episode_id,) = Corpus.open(uri).episode_ids()
    for name in ("base", "other"):
        write_labels(Corpus.open(uri), name, knows=False)
    show = ("show", uri, episode_id, "--out", tmp_path / "strip.svg")
    assert villa(*show, "--json").report["labels"] == ["base", "other"]
    drawn = (tmp_path / "strip.svg").read_text()
    assert all(f"<!-- codes of {name} -->" in drawn for name in ("base", "other"))
    assert villa(*show, "--latent", "other").code == 0
    drawn = (tmp_path / "strip.svg").read_text()
    assert ["<!-- codes of base -->" in drawn, "<!-- codes of other -->" in drawn] == [False, True]
    assert "no latent actions called 'third'" in villa(*show, "--latent", "third").line
