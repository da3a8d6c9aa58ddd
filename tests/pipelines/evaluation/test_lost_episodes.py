"""A simulator that fails costs the episode that it failed in; what was played is kept."""

import json
from pathlib import Path

import pytest

from dataengine.errors import DataEngineError
from pipelines.evaluation.config import EvalConfig
from pipelines.evaluation.episodes import Journal, Outcome
from pipelines.evaluation.evaluate import run
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM
from tests.support.fake_openpi import openpi_server

SIMULATORS = "tests.support.line_simulators"


def config(simulator: str, out: Path, **settings) -> EvalConfig:
    given = {"tasks": ("forward",), "episodes": 4, "processes": 1, "num_envs": 2, "num_filmstrips": 0}
    return EvalConfig(policy="expert", simulator=f"{SIMULATORS}:{simulator}", out=out, **(given | settings))


@pytest.mark.parametrize(
    ("simulator", "reason"),
    [
        ("Raises", "FloatingPointError: the solver diverged"),
        ("Dies", "the process died"),
        ("Hangs", "no answer within 2 s"),
    ],
)
def test_a_simulator_that_fails_costs_one_episode_which_is_named(simulator: str, reason: str, tmp_path: Path) -> None:
    report = run(config(simulator, tmp_path, step_timeout_s=2.0))
    result = report.results[0]
    assert (result.successes, result.episodes) == (3, 3)
    assert [one.seed for one in result.lost] == [EVAL_SEEDS_FROM + 1]
    assert reason in result.lost[0].reason
    assert f"start {EVAL_SEEDS_FROM + 1} lost to the simulator" in report.summary()
    assert not list(tmp_path.glob("episodes/*.now"))


@pytest.mark.parametrize(
    ("how", "reason"),
    [("raises", "step 0: FloatingPointError"), ("dies", "the process died"), ("hangs", "no answer within 2 s")],
)
def test_a_simulator_that_fails_while_a_policy_is_held_against_it_costs_one_episode(
    how: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINE_FAILS", how)
    robot = {"dataset": "openx/metaworld", "rate_hz": 20.0, "state_dim": 7, "action_dim": 7}
    metadata = {"server": "villa-engine", "embodiments": {"sawyer": robot}, "cameras": ["image"]}
    with openpi_server(metadata) as url:
        given = config("FailsAtStart", tmp_path, step_timeout_s=2.0, num_videos=0)
        result = run(given.model_copy(update={"policy": url})).results[0]
    assert result.episodes == 3
    assert [one.seed for one in result.lost] == [EVAL_SEEDS_FROM + 1]
    assert reason in result.lost[0].reason


def test_a_process_that_dies_once_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINE_DIED", str(tmp_path / "died"))
    result = run(config("DiesOnce", tmp_path / "eval")).results[0]
    assert (result.successes, result.episodes, result.lost) == (4, 4, [])


def test_a_simulator_that_brings_no_episode_to_its_end_is_no_score(tmp_path: Path) -> None:
    with pytest.raises(DataEngineError, match=r"no episode came to its end, 4 were lost .*no mesh 'cube.stl'"):
        run(config("Broken", tmp_path))


def test_a_simulator_that_cannot_be_set_up_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataEngineError, match=r"Unmade cannot be set up for forward: .*'line_engine'; mend its file"):
        run(config("Unmade", tmp_path))


@pytest.mark.parametrize(("how", "reason"), [("dies", "the process died"), ("hangs", "no answer within 1 s")])
@pytest.mark.parametrize("first", [True, False], ids=["the first", "one in the stead of one that failed"])
def test_a_simulator_that_dies_or_hangs_while_it_is_set_up_is_one_line(
    first: bool, how: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINE_FAILS", how)
    monkeypatch.setenv("LINE_MADE", str(tmp_path / "made"))
    if first:
        (tmp_path / "made").touch()
    given = config("FailsToBeMade", tmp_path / "eval", step_timeout_s=1.0, num_envs=1)
    with pytest.raises(DataEngineError, match=rf"FailsToBeMade cannot be set up for forward: {reason}"):
        run(given)
    played = [
        one.seed for journal in tmp_path.glob("eval/episodes/*.jsonl") for one in Journal(journal).read().values()
    ]
    assert played == ([] if first else [EVAL_SEEDS_FROM, EVAL_SEEDS_FROM + 1]), "what was finished is kept"
    assert not list(tmp_path.glob("eval/episodes/*.now"))


def test_more_episodes_are_played_behind_those_that_were(tmp_path: Path) -> None:
    run(config("Line", tmp_path))
    journal = next(tmp_path.glob("episodes/*.jsonl"))
    lines = journal.read_text().splitlines()
    assert len(lines) == 4
    marked = json.loads(lines[0]) | {"success": False}
    journal.write_text("\n".join([json.dumps(marked), *lines[1:], '{"seed": 10000']))  # as a killed process leaves it
    result = run(config("Line", tmp_path, episodes=6)).results[0]
    assert (result.successes, result.episodes) == (5, 6), "the marked episode was not played again"


def test_a_damaged_journal_is_one_clear_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.append(Outcome(seed=1, success=True, steps=3))
    journal.path.write_text(journal.path.read_text() + "oops\n")
    with pytest.raises(DataEngineError, match=r"a.jsonl, line 2: is no episode"):
        journal.read()


def test_a_damaged_result_is_counted_anew_from_its_episodes(tmp_path: Path) -> None:
    first = run(config("Hard", tmp_path))
    (file,) = tmp_path.glob("results/*.json")
    (journal,) = tmp_path.glob("episodes/*.jsonl")
    played = journal.read_text()
    for damage in (b"", b"\xff\xfe", file.read_bytes()[:99]):
        file.write_bytes(damage)
        assert run(config("Hard", tmp_path)).results == first.results
    assert journal.read_text() == played, "nothing was played again"


@pytest.mark.parametrize("left", ["1000000                 Timeout", "set up                  Timeout", "\0\0\0"])
def test_what_hung_in_a_killed_command_is_not_held_against_this_one(left: str, tmp_path: Path) -> None:
    run(config("Dies", tmp_path, episodes=1))
    (journal,) = tmp_path.glob("episodes/*.jsonl")
    journal.with_suffix(".7.now").write_text(left)
    result = run(config("Dies", tmp_path)).results[0]
    assert [one.seed for one in result.lost] == [EVAL_SEEDS_FROM + 1]


def test_failures_are_kept_as_videos(tmp_path: Path) -> None:
    import av

    report = run(config("Hard", tmp_path, num_filmstrips=4, num_videos=1))
    videos = report.results[0].videos
    assert len(videos) == 1
    with av.open(str(tmp_path / videos[0])) as video:
        frames = list(video.decode(video=0))
    assert len(frames) > 2
    assert (frames[0].width, frames[0].height) == (32, 32)
    assert "videos of failures" in report.summary()
