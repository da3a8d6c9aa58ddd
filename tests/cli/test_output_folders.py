"""No command deletes or overwrites what it did not write, and two of them never write to one folder."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.windows.window import LatentInfo
from pipelines import stats
from pipelines.ingest import engine
from pipelines.output.folder import LOCK, MARKER, claimed, locked
from pipelines.training import data, memory
from tests.support.corpora import make_corpus, robot_episode
from tests.support.lams import make_lam
from tests.support.npz_source import write_parts

ROOT = Path(__file__).parents[2]
LATENT = LatentInfo(name="base", fingerprint="made", k=2, d=4, interval_s=0.3)
NPZ = "tests.support.npz_source:NpzSource"
TRAIN = ("--preset", "tiny", "--steps", 1, "--set", "batch_size=2", "--set", "val_windows=4", "--device", "cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus and a model that fits it."""
    root = tmp_path_factory.mktemp("made")
    corpus = make_corpus(root / "corpus", {"a": [robot_episode(f"r{i}", num_steps=14) for i in range(6)]})
    jpegs = corpus.jpegs("primary", [(e, i) for e in corpus.episode_ids() for i in range(8)])
    make_lam(root / "lam", jpegs)
    stats.run(stats.StatsConfig(corpus=corpus.uri))
    return root


def tree(folder):
    """Every file below a folder and what it holds; a lock holds nothing that matters."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != LOCK}


def commands(made, out):
    """A command line for each command that writes a folder."""
    corpus, lam = made / "corpus", made / "lam"
    probe = ("--lam", lam, "--set", "epochs=1", "--set", "seeds=1")
    return {
        "curate": ("curate", corpus, "--report", out),
        "probe": ("probe", corpus, *probe, "--out", out),
        "lam report": ("lam", "report", corpus, "--lam", lam, "--out", out),
        "train lam": ("train", "lam", corpus, "--out", out, *TRAIN),
        "train act": ("train", "act", corpus, "--out", out, *TRAIN, "--set", "use_latent=false"),
        "train world": ("train", "world", corpus, "--out", out, *TRAIN),
        "shard": ("shard", corpus, "--out", out),
        "export lerobot": ("export", "lerobot", corpus, "--out", out),
        "export lam": ("export", "lam", lam, "--out", out),
        "eval": ("eval", "random", "--out", out),
        "demo": ("demo", "--out", out),
    }


NAMES = tuple(commands(Path(), Path()))


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_other_files_is_refused_and_stays_as_it_is(villa, made, tmp_path, name):
    photos = tmp_path / "photos"
    for file in ("examples/holiday.jpg", "charts/mine.svg", "pictures/pair-0-1.jpg", "report.json", "index.html"):
        (photos / file).parent.mkdir(parents=True, exist_ok=True)
        (photos / file).write_text("mine")
    shutil.copytree(made / "lam", photos, dirs_exist_ok=True)
    before = tree(photos)
    said = villa(*commands(made, photos)[name])
    assert said.code == 2
    assert f"{photos}: holds files" in said.line
    assert "folder" in said.line.rpartition(";")[2]
    assert tree(photos) == before


@pytest.mark.parametrize("below", ["", "sub", "episodes.lance/sub"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_into_a_corpus(villa, made, name, below):
    before = tree(made / "corpus")
    said = villa(*commands(made, made / "corpus" / below)[name])
    assert said.code == 2
    assert "a corpus, in which nothing else is written" in said.line
    assert tree(made / "corpus") == before


@pytest.mark.parametrize("below", ["", "sub"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_among_raw_recordings(villa, made, tmp_path, name, below):
    (tmp_path / "raw/meta").mkdir(parents=True)
    (tmp_path / "raw/meta/info.json").write_text("{}")
    said = villa(*commands(made, tmp_path / "raw" / below)[name])
    assert said.code == 2
    assert "a folder of raw recordings" in said.line
    assert list(tree(tmp_path / "raw")) == ["meta/info.json"]


def test_a_page_is_written_again_and_files_of_the_user_in_it_stay(villa, made, tmp_path):
    out, line = tmp_path / "page", commands(made, tmp_path / "page")["curate"]
    assert villa(*line, "--set", "recipe=strict").code == 0
    (out / "examples").mkdir(exist_ok=True)
    (out / "examples/holiday.jpg").write_text("mine")
    (out / "index.html").unlink()
    assert villa(*line).code == 0
    assert (out / "examples/holiday.jpg").read_text() == "mine"
    assert (out / "index.html").read_text().startswith("<!doctype html>")


def test_pictures_of_an_earlier_page_go_and_no_others(villa, made, tmp_path):
    out, line = tmp_path / "page", commands(made, tmp_path / "page")["lam report"]
    assert villa(*line).code == 0
    drawn = set(tree(out / "pictures"))
    (out / "pictures/pair-99-99.jpg").write_text("mine")
    assert villa(*line, "--set", "queries=1").code == 0
    assert (out / "pictures/pair-99-99.jpg").read_text() == "mine"
    now = set(tree(out / "pictures")) - {"pair-99-99.jpg"}
    assert len(now) < len(drawn)
    assert len([name for name in now if name.startswith("pair-")]) < len(drawn) / 2  # one query, not several


def test_a_file_of_the_user_with_the_name_of_one_of_ours_is_not_replaced(villa, made, tmp_path):
    out = tmp_path / "page"
    out.mkdir()
    (out / MARKER).write_text(json.dumps({"villa": 1, "command": "probe", "files": []}))
    (out / "report.json").write_text("mine")
    said = villa(*commands(made, out)["probe"])
    assert said.code == 2
    assert f"{out / 'report.json'}: is there already and `villa probe` did not write it" in said.line
    assert (out / "report.json").read_text() == "mine"


@pytest.mark.parametrize("name", ["probe", "train lam", "export lerobot", "eval"])
def test_a_folder_of_another_command_is_refused(villa, made, tmp_path, name):
    out = tmp_path / "page"
    assert villa(*commands(made, out)["curate"]).code == 0
    said = villa(*commands(made, out)[name])
    assert said.code == 2
    assert (
        f"{out}: found the output of `villa curate`, expected a new folder or one that `villa {name}` wrote"
        in said.line
    )


@pytest.mark.parametrize(
    "words",
    ["no json", "[]", "[" * 100_000, '{"command": "curate"}', '{"command": "curate", "files": ["../../x"]}'],
    ids=["no json", "a list", "too deep", "no files", "outside"],
)
def test_a_damaged_marker_is_named(villa, made, tmp_path, words):
    (tmp_path / MARKER).write_text(words)
    said = villa(*commands(made, tmp_path)["curate"])
    assert said.code == 2
    assert f"{tmp_path / MARKER}: " in said.line


def put_over(file):
    """Have a user's own file where one of ours may lie."""
    file.unlink(missing_ok=True)
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("curate", "index.html"),
        ("probe", "report.json"),
        ("lam report", "pictures/pair-*.jpg"),
        ("train lam", "model.safetensors"),
        ("train lam", "metrics.jsonl"),
    ],
)
def test_a_file_of_the_user_over_one_of_ours_is_neither_replaced_nor_deleted(villa, made, tmp_path, name, file):
    out, line = tmp_path / "out", commands(made, tmp_path / "out")[name]
    assert villa(*line).code == 0
    file = str(next(out.glob(file)).relative_to(out))
    put_over(out / file)
    before = tree(out)
    said = villa(*line)
    assert said.code == 2
    assert f"{out / file}: is not what `villa {name}` left there" in said.line
    assert said.line.endswith("move it away, or give another folder")
    assert tree(out) == before
    (out / file).unlink()
    assert villa(*line).code == 0


@pytest.mark.parametrize("name", ["curate", "probe", "lam report", "train lam", "train act", "export lerobot"])
def test_the_same_command_again_takes_its_own_files_for_its_own(villa, made, tmp_path, name):
    for _ in range(2):
        said = villa(*commands(made, tmp_path / "out")[name])
        assert said.code == 0, said.err


def test_a_file_of_the_user_under_a_listed_name_that_was_never_written_stays(villa, made, tmp_path):
    out, line = tmp_path / "out", commands(made, tmp_path / "out")["train lam"]
    assert villa(*line, "--set", "steps=3", "--set", "max_minutes=1e-6").code == 0
    assert not (out / "model_config.json").exists()
    put_over(out / "model_config.json")
    assert villa(*line).code == 2
    assert (out / "model_config.json").read_text() == "mine"


def test_copies_of_an_output_and_outputs_of_killed_commands_are_gone_on_with(villa, made, tmp_path):
    out, line = tmp_path / "out", commands(made, tmp_path / "copy")["curate"]
    assert villa(*commands(made, out)["curate"]).code == 0
    shutil.copytree(out, tmp_path / "copy", copy_function=shutil.copyfile)
    assert villa(*line).code == 0
    # What a killed command wrote last nobody noted.
    with claimed(tmp_path / "copy", "curate") as folder:
        folder.path("index.html")
        marker = (tmp_path / "copy" / MARKER).read_text()
    (tmp_path / "copy" / MARKER).write_text(marker)
    (tmp_path / "copy/index.html").write_text("half a pa")
    assert villa(*line).code == 0
    assert (tmp_path / "copy/index.html").read_text().startswith("<!doctype html>")


def test_of_a_run_with_other_settings_those_that_differ_are_named_and_no_others(villa, made, tmp_path):
    line = commands(made, tmp_path / "out")["train lam"]
    assert villa(*line).code == 0
    changes = ("--set", "lr=0.5", "--set", "model.num_codes=64", "--set", "mixture.temperature=2.0")
    said = villa(*line, *changes)
    assert said.code == 2
    head, *lines = said.err.splitlines()[-4:]
    words = "holds a run with other settings or data; give the same to continue it, or another --out"
    assert head == f"villa train lam: {tmp_path / 'out'} {words}"
    assert lines == ["  lr: 0.002 -> 0.5", "  mixture.temperature: 1.0 -> 2.0", "  model.num_codes: 32 -> 64"]
    report = villa(*line, *changes, "--json").report
    assert report["details"] == [line.strip() for line in lines]


@pytest.mark.parametrize("name", ["train lam", "train act", "train world"])
def test_a_training_that_cannot_fit_into_memory_is_refused_and_leaves_no_folder(
    villa, made, tmp_path, monkeypatch, name
):
    if name == "train world":
        monkeypatch.setattr(data, "pick_latent", lambda *_: LATENT)
        monkeypatch.setattr(data, "latent_rms", lambda *_: 1.0)
    monkeypatch.setattr(memory, "free_bytes", lambda: 10_000_000)
    said = villa(*commands(made, tmp_path / "out")[name])
    assert said.code == 2
    assert "found 0.0 GB free on cpu; take a smaller --preset" in said.err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_command_that_fails_leaves_no_marker_in_a_folder_that_was_there(villa, made, tmp_path):
    said = villa("train", "act", made / "corpus", "--out", tmp_path, *TRAIN)
    assert said.code == 2
    assert not list(tmp_path.iterdir())


def test_nothing_is_deleted_or_written_through_a_link_that_leads_out(villa, made, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a.jpg").write_text("mine")
    (out / "examples").symlink_to(elsewhere)
    for files in (["examples/a.jpg"], []):
        (out / MARKER).write_text(json.dumps({"villa": 1, "command": "curate", "files": files}))
        if files:
            said = villa(*commands(made, out)["curate"])
            assert (said.code, "outside of the folder" in said.line) == (2, True)
        else:
            with claimed(out, "curate") as folder, pytest.raises(DataEngineError, match="leads out of the folder"):
                folder.path("examples/b.jpg")
    assert tree(elsewhere) == {"a.jpg": b"mine"}


def test_a_marker_that_lists_a_folder_and_a_link_to_nothing_are_refused(villa, made, tmp_path):
    (tmp_path / "out/examples").mkdir(parents=True)
    (tmp_path / "out" / MARKER).write_text(json.dumps({"villa": 1, "command": "curate", "files": ["examples/"]}))
    said = villa(*commands(made, tmp_path / "out")["curate"])
    assert (said.code, "damaged, lists the folder examples/" in said.line) == (2, True)
    (tmp_path / "link").symlink_to("nowhere")
    said = villa(*commands(made, tmp_path / "link")["curate"])
    assert (said.code, "is a link to nothing" in said.line) == (2, True)


@pytest.mark.parametrize("name", ["curate", "lam report", "train lam", "export lerobot"])
def test_outputs_from_before_there_were_markers_are_known_by_what_they_hold(villa, made, tmp_path, name):
    out, line = tmp_path / "out", commands(made, tmp_path / "out")[name]
    assert villa(*line).code == 0
    (out / MARKER).unlink()
    assert villa(*line).code == 0
    (out / MARKER).unlink()
    (out / "mine.txt").write_text("mine")
    said = villa(*line)
    if name == "train lam":  # its files have names of their own, so others may lie beside
        assert said.code == 0
    else:
        assert said.code == 2
        assert "mine.txt" in said.line
    assert (out / "mine.txt").read_text() == "mine"


def test_a_run_from_before_there_were_markers_is_not_taken_for_one_of_another_model(villa, made, tmp_path):
    out = tmp_path / "out"
    assert villa(*commands(made, out)["train lam"]).code == 0
    (out / MARKER).unlink()
    before = tree(out)
    said = villa(*commands(made, out)["train act"])
    assert said.code == 2
    assert "holds files that `villa train act` did not write" in said.line
    assert tree(out) == before


@pytest.mark.parametrize("name", NAMES)
def test_of_two_commands_on_one_folder_the_second_says_who_is_there(villa, made, tmp_path, name):
    with locked(tmp_path, "train lam"):
        said = villa(*commands(made, tmp_path)[name])
    assert said.code == 2
    assert f"{tmp_path}: another `villa train lam` (pid " in said.line
    assert "is writing to it" in said.line


def test_who_has_just_taken_a_lock_is_named_too(tmp_path, monkeypatch):
    asked = []

    def named_late(handle, size, start):
        asked.append(handle)
        return b"" if len(asked) < 3 else b"`villa curate` (pid 7 on lab)"

    with locked(tmp_path, "curate"):
        monkeypatch.setattr(os, "pread", named_late)
        refused = pytest.raises(DataEngineError, match=r"another `villa curate` \(pid 7 on lab\) is writing to it")
        with refused, locked(tmp_path, "curate"):
            pass


def test_the_lock_of_a_killed_command_is_gone(villa, made, tmp_path):
    words = "import sys, time; from pathlib import Path; from pipelines.output.folder import locked"
    hold = f"{words}\nwith locked(Path(sys.argv[1]), 'curate'): print('in', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdout.readline() == b"in\n"
    line = commands(made, tmp_path)["curate"]
    assert f"another `villa curate` (pid {child.pid} on " in villa(*line).line
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert villa(*line).code == 0


def test_a_disk_without_locks_is_told(villa, made, tmp_path, monkeypatch):
    def refuse(_handle, _how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    said = villa(*commands(made, tmp_path)["curate"])
    assert said.code == 0
    assert "its disk keeps no locks" in said.err


def test_a_command_that_fails_leaves_no_folder(villa, made, tmp_path):
    (made / "bare").exists() or make_corpus(made / "bare", {"a": [robot_episode("r0")]})
    for line in (
        ("probe", made / "corpus", "--lam", made / "nowhere", "--out"),
        ("shard", made / "bare", "--out"),
        ("shard", made / "corpus", "--latent", "nobody", "--out"),
        ("train", "lam", made / "bare", "--out"),
        ("train", "act", made / "corpus", "--out"),
    ):
        assert villa(*line, tmp_path / "runs/out").code == 2
        assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("place", ["raw", "raw/sub/corpus", "photos", "corpus/sub"])
def test_a_corpus_is_created_neither_in_recordings_nor_among_other_files(villa, made, tmp_path, place):
    write_parts(tmp_path / "raw", 2)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/holiday.jpg").write_text("mine")
    shutil.copytree(made / "corpus", tmp_path / "corpus")
    before = tree(tmp_path)
    said = villa("ingest", NPZ, tmp_path / "raw", "--corpus", tmp_path / place)
    assert said.code == 2
    assert "give a new folder" in said.line
    assert tree(tmp_path) == before


def test_no_page_is_written_into_the_recordings_that_a_corpus_was_read_from(villa, tmp_path):
    write_parts(tmp_path / "raw", 2)
    assert villa("ingest", NPZ, tmp_path / "raw", "--corpus", tmp_path / "corpus", "--workers", 1).code == 0
    said = villa("curate", tmp_path / "corpus", "--report", tmp_path / "raw/page")
    assert said.code == 2
    assert "a folder of raw recordings" in said.line
    for model in ("lam", "act", "world"):
        said = villa("train", model, tmp_path / "corpus", "--out", tmp_path / "raw/page")
        assert (said.code, "a folder of raw recordings" in said.line) == (2, True)
    said = villa("eval", "replay", "--set", f"demonstrations={tmp_path / 'corpus'}", "--out", tmp_path / "raw/page")
    assert (said.code, "a folder of raw recordings" in said.line) == (2, True)
    assert not (tmp_path / "raw/page").exists()


def test_trainings_on_shards_know_the_recordings_behind_them(villa, tmp_path):
    write_parts(tmp_path / "raw", 2)
    assert villa("ingest", NPZ, tmp_path / "raw", "--corpus", tmp_path / "corpus", "--workers", 1).code == 0
    assert villa("stats", tmp_path / "corpus").code == 0
    assert villa("shard", tmp_path / "corpus", "--out", tmp_path / "shards").code == 0
    shutil.rmtree(tmp_path / "corpus")
    for model in ("lam", "act", "world"):
        said = villa("train", model, tmp_path / "shards", "--out", tmp_path / "raw/run")
        assert said.code == 2
        assert f"{tmp_path / 'raw/run'}: lies in {tmp_path / 'raw'}, a folder of raw recordings" in said.line
    assert not (tmp_path / "raw/run").exists()


def test_an_ingest_with_nothing_to_do_mends_the_roots_of_an_older_corpus(villa, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_parts(Path("raw"), 2)
    line = ("ingest", NPZ, "raw", "--corpus", "corpus", "--workers", 1)
    monkeypatch.setattr(engine, "normal_uri", str)  # as an older one kept them
    assert villa(*line).code == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert villa(*line).code == 0
    num_runs = len(Corpus.open("corpus").runs())
    assert villa(*line).code == 0
    assert len(Corpus.open("corpus").runs()) == num_runs
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    said = villa("curate", "../corpus", "--report", "../raw/page")
    assert (said.code, "a folder of raw recordings" in said.line) == (2, True)


@pytest.mark.parametrize("how", ["one", "plan"])
def test_recordings_named_by_a_relative_path_are_known_from_every_folder(villa, tmp_path, monkeypatch, how):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_parts(Path("raw"), 2)
    Path("plan.yaml").write_text(f"datasets: [{{source: '{NPZ}', root: 'r*'}}]")
    what = {"one": (NPZ, "raw"), "plan": ("--plan", "plan.yaml")}[how]
    assert villa("ingest", *what, "--corpus", "corpus", "--workers", 1).code == 0
    monkeypatch.chdir(tmp_path / "there")
    before = tree(tmp_path / "here/raw")
    for line in (("curate", "../here/corpus", "--report"), ("shard", "../here/corpus", "--out")):
        said = villa(*line, "../here/raw/out")
        assert said.code == 2
        assert f"{tmp_path / 'here/raw/out'}: lies in {tmp_path / 'here/raw'}, a folder of raw" in said.line
    assert tree(tmp_path / "here/raw") == before


def test_a_corpus_whose_creation_was_cut_short_is_completed(villa, tmp_path):
    write_parts(tmp_path / "raw", 2)
    (tmp_path / "corpus/_staging").mkdir(parents=True)
    assert villa("ingest", NPZ, tmp_path / "raw", "--corpus", tmp_path / "corpus", "--workers", 1).code == 0
    assert len(Corpus.open(tmp_path / "corpus")) == 6


def test_a_picture_that_is_not_ours_is_not_drawn_over(villa, made, tmp_path):
    episode = Corpus.open(made / "corpus").episode_ids()[0]
    line = ("show", made / "corpus", episode, "--out", tmp_path / "strip.png")
    assert villa(*line).code == 0
    assert villa(*line).code == 0
    (tmp_path / "strip.png").write_text("mine")
    said = villa(*line)
    assert said.code == 2
    assert "`villa show` did not draw it" in said.line
    assert (tmp_path / "strip.png").read_text() == "mine"


def test_a_page_that_is_not_ours_is_not_made_into_reference(villa, tmp_path):
    assert villa("docs", "--out", tmp_path).code == 0
    (tmp_path / "commands.md").write_text("mine")
    said = villa("docs", "--out", tmp_path)
    assert said.code == 2
    assert "`villa docs` did not write it" in said.line
    assert (tmp_path / "commands.md").read_text() == "mine"
