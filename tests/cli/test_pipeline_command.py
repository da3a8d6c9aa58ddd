"""`villa pipeline`: what its file says is checked before anything runs, and bad input costs a line."""

import textwrap

import pytest

from pipelines.workflow.file import Pipeline


@pytest.fixture
def plan(villa, tmp_path, monkeypatch):
    """Asks what a file would run, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def ask(text, *argv):
        (tmp_path / "lab.yaml").write_text(textwrap.dedent(text))
        return villa("pipeline", "lab.yaml", "--dry-run", *argv)

    return ask


WHOLE = """
vars: {raw: data}
stages:
  act: {command: train act, settings: {data: "${shards}"}}
  shards: {command: shard, settings: {latents: ["${label}"]}}
  label: {command: label, settings: {lam: "${lam}"}}
  probe: {command: probe, settings: {lams: ["${lam}", "${plain}"]}}
  lam: {command: train lam, settings: {data: "${corpus}"}}
  plain: {command: train lam, settings: {data: "${corpus}", proprio: false}}
  stats: {command: stats}
  curate: {command: curate}
  kitchen: {command: ingest, settings: {source: something_something, root: "${raw}/clips"}}
  bridge: {command: ingest, settings: {source: openx/metaworld, root: "${raw}/bridge"}}
  play: {command: eval, settings: {policy: "${act}"}}
"""


def test_stages_run_in_order_of_what_they_read(plan):
    report = plan(WHOLE, "--json").report
    order = [stage["stage"] for stage in report["stages"]]
    before = {
        ("kitchen", "curate"),
        ("bridge", "curate"),
        ("curate", "stats"),
        ("stats", "lam"),
        ("stats", "plain"),
        ("lam", "label"),
        ("lam", "probe"),
        ("plain", "probe"),
        ("label", "shards"),
        ("shards", "act"),
        ("act", "play"),
    }
    assert {pair for pair in before if order.index(pair[0]) > order.index(pair[1])} == set()
    assert {stage["state"] for stage in report["stages"]} == {"to run"}


def test_a_dry_run_writes_nothing(plan, tmp_path):
    assert plan(WHOLE).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["lab.yaml"]


def test_a_policy_is_played_as_a_user_would_type_it_now(plan, tmp_path):
    plan(WHOLE)
    play = Pipeline("lab.yaml").stage("play")
    assert str(play.as_command(tmp_path / "log", {})).startswith("villa eval metaworld ")


def test_until_leaves_out_what_comes_later_and_beside(plan):
    report = plan(WHOLE, "--until", "label", "--json").report
    left_out = {stage["stage"] for stage in report["stages"] if stage["state"] == "left out"}
    assert left_out == {"plain", "probe", "shards", "act", "play"}


def test_every_stage_is_checked_before_anything_runs(plan, tmp_path):
    refused = plan(WHOLE.replace("proprio: false", "propio: false").replace('lam: "${lam}"', 'lam: "${lma}"'))
    assert refused.code == 2
    first, second = refused.err.splitlines()
    assert "lab.yaml:6: stage 'label': '${lma}' is neither a variable nor a stage; did you mean 'lam'?" in first
    assert "lab.yaml:9: stage 'plain': no setting 'propio'; did you mean 'proprio'?" in second
    assert [path.name for path in tmp_path.iterdir()] == ["lab.yaml"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("stages: {}", "setting 'stages'"),
        ("stages: {a: {command: statz}}", "no command 'statz' for a stage; did you mean 'stats'?"),
        ("stages: {a: {command: stats, settings: {corpus: [a]}}}", "setting 'corpus': found ['a']"),
        ("stages: {a: {command: stats, setings: {}}}", "no setting 'stages.a.setings'; did you mean"),
        ("stages: {a: {command: stats, after: [b]}}", "no stage 'b' to run after"),
        ("stages: {a: {command: stats}, b: {command: stats}}", "writes statistics of runs/lab/corpus, as stage 'a'"),
        ("vars: {a: 1}\nstages: {a: {command: stats}}", "a variable has this name, too"),
        ("vars: {x: '${x}'}\nstages: {a: {command: stats, settings: {corpus: '${x}'}}}", "'x' refers to itself"),
        ("stages:\n  a: {command: stats}\n  a: {command: curate}", "lab.yaml:3: stage 'a' stands at line 2 already"),
        (
            "stages: {a: {command: stats, after: [b]}, b: {command: curate, after: [a]}}",
            "stages need one another in a circle: ",
        ),
        ("base: nobody\nstages: {a: {command: stats}}", "no pipeline 'nobody'"),
        ("base: lab.yaml\nstages: {a: {command: stats}}", "is based on itself"),
        ("stages: {a: {command: 'nobody:Config'}}", "no command 'nobody:Config'"),
        ("stages: {a: {command: 'dataengine.config:Config'}}", "expected a Config with a function `run` beside it"),
    ],
)
def test_what_is_wrong_with_a_file_is_a_line(plan, text, line):
    refused = plan(text)
    assert refused.code == 2
    assert line in refused.line


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--until", "labels"], "no stage 'labels' for --until; did you mean 'label'?"),
        (["--only", "lamb"], "no stage 'lamb' for --only; did you mean 'lam'?"),
        (["--set", "vars.rawe=x"], "no variable 'rawe'; did you mean 'raw'?"),
        (["--until", "lam", "--redo", "act"], "stage 'act' comes after 'lam'"),
        (["--until", "lam", "--only", "act"], "--only runs one stage"),
    ],
)
def test_what_is_wrong_with_the_command_is_a_line(plan, argv, line):
    refused = plan(WHOLE, *argv)
    assert refused.code == 2
    assert line in refused.line


def test_a_file_may_be_based_on_another(plan, tmp_path):
    (tmp_path / "small.yaml").write_text("base: lab.yaml\nvars: {raw: other}\nstages: {lam: {settings: {steps: 7}}}\n")
    plan(WHOLE)
    pipeline = Pipeline("small.yaml")
    assert pipeline.stages["lam"].config.steps == 7
    assert pipeline.stages["bridge"].config.root == "other/bridge"
    assert pipeline.out == "runs/small"
