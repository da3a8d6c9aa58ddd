"""What `villa pipeline --dry-run` says of a run whose stages are done, after something was moved or changed."""

import textwrap
from pathlib import Path

import pytest

from pipelines.stats import StatsConfig
from pipelines.stats import run as count
from pipelines.workflow.file import Pipeline
from pipelines.workflow.freshness import fingerprint_of, outputs_of
from pipelines.workflow.state import PipelineState, StageRecord
from tests.support.corpora import make_corpus, robot_episode
from tests.support.said import Said, Villa, villa_of

FILE = """
    out: runs/lab
    corpus: CORPUS
    stages:
      curate: {command: curate}
      stats: {command: stats}
      shards: {command: shard, settings: {latents: [], seed: SEED}}
      lam: {command: train lam, settings: {data: "${corpus}", preset: tiny, steps: STEPS}}
"""


def write_file(corpus: str, seed: int = 0, steps: int = 50) -> None:
    filled = FILE.replace("CORPUS", corpus).replace("SEED", str(seed)).replace("STEPS", str(steps))
    Path("lab.yaml").write_text(textwrap.dedent(filled))


@pytest.fixture
def villa(capsys: pytest.CaptureFixture[str]) -> Villa:
    return villa_of(capsys)


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is noted as done; shards and a model were deleted since."""
    monkeypatch.chdir(tmp_path)
    make_corpus(tmp_path / "corpus", {"a": [robot_episode(f"r{i}") for i in range(2)]})
    count(StatsConfig(corpus="corpus"))
    write_file("corpus")
    pipeline, state = Pipeline("lab.yaml"), PipelineState()
    known = state.identities()
    for name, stage in pipeline.stages.items():
        taken, _ = fingerprint_of(stage, known)
        state.stages[name] = StageRecord(
            state="done", settings=dict(taken.settings), inputs=dict(taken.inputs), outputs=outputs_of(stage, known)
        )
    Path("runs/lab").mkdir(parents=True)
    state.save(Path("runs/lab"))


def planned(said: Said) -> dict[str, tuple[str, str]]:
    assert said.code == 0, said.err
    return {s["stage"]: (s["state"], "; ".join(s["why"])) for s in said.report["stages"]}


@pytest.mark.usefixtures("noted")
def test_a_corpus_of_another_name_is_the_same(villa: Villa) -> None:
    Path("corpus").rename("elsewhere")
    write_file("elsewhere", seed=1)
    plan = planned(villa("pipeline", "lab.yaml", "--dry-run", "--json"))
    assert plan["curate"] == plan["stats"] == ("done", "")
    assert plan["shards"] == ("to run", "seed 0 -> 1; output is not there: shards of shards")


@pytest.mark.usefixtures("noted")
@pytest.mark.parametrize(("steps", "notes"), [(40, ["its former output is kept beside the new one"]), (60, [])])
def test_a_training_goes_to_more_steps_and_begins_anew_for_fewer(villa: Villa, steps: int, notes: list[str]) -> None:
    write_file("corpus", steps=steps)
    said = villa("pipeline", "lab.yaml", "--dry-run", "--json")
    (lam,) = (stage for stage in said.report["stages"] if stage["stage"] == "lam")
    assert lam["why"][0] == f"steps 50 -> {steps}"
    assert lam["notes"] == notes


@pytest.mark.usefixtures("noted")
def test_a_corpus_that_cannot_be_read_is_named_with_what_finds_the_file(villa: Villa) -> None:
    for file in Path("corpus/episodes.lance/data").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    said = villa("pipeline", "lab.yaml", "--dry-run")
    assert said.code == 2
    assert "corpus: its episodes cannot be read" in said.line
    assert "`villa corpus verify " in said.line
