"""What an evaluation records comes back into a corpus with its successes and failures marked."""

import json
from pathlib import Path

from typer.testing import CliRunner

from cli.app import app
from dataengine.store import Corpus
from tests.support.corpora import make_corpus, robot_episode

HARD = "tests.support.line_simulators:Hard"


def villa(*argv: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in argv])
    assert done.exit_code == 0, done.output
    return done.output


def test_failures_are_marked_and_a_rule_drops_them(tmp_path: Path) -> None:
    recorded, corpus, recipe = tmp_path / "recorded", tmp_path / "corpus", tmp_path / "successes.yaml"
    settings = ("--processes", 1, "--num-filmstrips", 0, "--num-videos", 0, "--out", tmp_path / "eval")
    villa("eval", HARD, "expert", "--task", "forward", "--episodes", 4, "--record", recorded, *settings)
    villa("ingest", "lerobot", recorded, "--corpus", corpus, "--set", "engine=local")
    said = [json.loads(line) for line in (recorded / "meta/rollouts.jsonl").read_text().splitlines()]
    assert {line["success"] for line in said} == {True, False}
    won = sum(line["success"] for line in said)
    assert f"outcomes: {won} success, {len(said) - won} failure\n" in villa("corpus", "info", corpus)
    recipe.write_text("drop_failures: {}\n")
    report = villa("curate", corpus, "--recipe", recipe, "--set", "page=false")
    rows = Corpus.open(str(corpus)).table(["source_record", "notes", "quality__success", "keep"]).to_pylist()
    by_record = {int(row["source_record"]): row for row in rows}
    for line in said:
        row = by_record[line["episode_index"]]
        assert json.loads(row["notes"])["outcome"] == ("success" if line["success"] else "failure")
        assert (row["quality__success"], row["keep"]) == (float(line["success"]), line["success"])
    assert "drop_failures" in report


def test_what_nobody_says_is_not_checked(tmp_path: Path) -> None:
    corpus, recipe = make_corpus(tmp_path / "corpus", {"a": [robot_episode("a0")]}), tmp_path / "successes.yaml"
    recipe.write_text("drop_failures: {}\n")
    report = villa("curate", corpus.uri, "--recipe", recipe, "--set", "page=false")
    assert "nobody says whether attempts succeeded" in report
    assert Corpus.open(corpus.uri).table(["keep"]).to_pylist() == [{"keep": True}]
    assert "outcomes:" not in villa("corpus", "info", corpus.uri)
