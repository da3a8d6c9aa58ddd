"""What was played becomes a dataset that ingest reads, marked by success, and that a simulator is held against."""

import json

import pytest

SIMULATORS = "tests.support.line_simulators"


@pytest.mark.slow
def test_rollouts_come_back_as_a_corpus_and_calibrate_the_simulator(villa, tmp_path):
    recorded, corpus = tmp_path / "recorded", tmp_path / "corpus"
    where = ("--out", tmp_path / "eval", "--record", recorded, "--num-filmstrips", 0)
    said = villa("eval", f"{SIMULATORS}:Hard", "expert", "--episodes", 3, "--task", "forward", *where)
    assert said.code == 0, said.err
    assert f"recorded: 3 episodes in {recorded}" in said.out
    rows = [json.loads(line) for line in (recorded / "meta/rollouts.jsonl").read_text().splitlines()]
    assert [(row["seed"] % 3 != 0) for row in rows] == [row["success"] for row in rows]
    assert villa("ingest", "lerobot", recorded, "--corpus", corpus).code == 0
    for simulator, code in (("Hard", 0), ("Turned", 1)):
        said = villa(
            "eval", "calibrate", f"{SIMULATORS}:{simulator}", "--demos", corpus, "--out", tmp_path / "c", "--json"
        )
        assert said.code == code, said.err
        report = json.loads(said.out)
        assert len(report["deviations"]) == 3
        assert any("pictures of camera primary differ" in fault for fault in report["faults"]) is (code == 1)


def test_a_corpus_without_starts_is_one_line(villa, tmp_path):
    said = villa("eval", "calibrate", f"{SIMULATORS}:Line", "--demos", tmp_path / "none", "--out", tmp_path / "c")
    assert said.code == 2
    assert "none: no corpus there" in said.err


def test_a_dataset_that_a_killed_command_left_is_gone_on_with(villa, tmp_path):
    recorded = tmp_path / "recorded"

    def record(policy, episodes):
        where = ("--out", tmp_path / "eval", "--record", recorded, "--num-filmstrips", 0, "--processes", 1)
        return villa("eval", f"{SIMULATORS}:Line", policy, "--episodes", episodes, "--task", "forward", *where)

    assert "recorded: 2 episodes" in record("expert", 2).out
    first = (recorded / "data/chunk-000/episode_000000.parquet").read_bytes()
    listed = recorded / "meta/rollouts.jsonl"
    listed.write_text(listed.read_text().splitlines()[0] + "\n")  # killed before it listed the second
    (recorded / "data/chunk-000/.episode_000002.parquet.1.partial").touch()
    assert "recorded: 3 episodes" in record("expert", 3).out
    assert (recorded / "data/chunk-000/episode_000000.parquet").read_bytes() == first
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [(row["episode_index"], row["seed"]) for row in rows] == [(i, 1_000_000 + i) for i in range(3)]
    assert json.loads((recorded / "meta/info.json").read_text())["total_episodes"] == 3
    assert "recorded: 3 episodes" in record("expert", 3).out
    other = record("random", 1)
    assert other.code == 2
    assert "is there already and no dataset of these tasks, starts and settings" in other.line
