"""No command deletes or overwrites what it did not write."""

import json
import shutil

import pytest

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.windows.window import LatentInfo
from pipelines.output.folder import MARKER, claimed
from pipelines.training import data, memory
from tests.support.corpora import make_corpus, robot_episode
from tests.support.output_folders import NAMES, TRAIN, commands, tree

LATENT = LatentInfo(name="base", fingerprint="made", k=2, d=4, interval_s=0.3)


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


@pytest.mark.parametrize("name", ["s3://bucket/run", "gs:/bucket"])
def test_a_bucket_is_no_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(DataEngineError, match="found the URI of a store, expected a folder on a disk"),
        claimed(name, "x"),
    ):
        pass
    assert not tree(tmp_path)


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
    "content",
    ["no json", "[]", "[" * 100_000, '{"command": "curate"}', '{"command": "curate", "files": ["../../x"]}'],
    ids=["no json", "a list", "too deep", "no files", "outside"],
)
def test_a_damaged_marker_is_named(villa, made, tmp_path, content):
    (tmp_path / MARKER).write_text(content)
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
    message = "holds a run with other settings or data; give the same to continue it, or another --out"
    assert head == f"villa train lam: {tmp_path / 'out'} {message}"
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
