import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dataengine.errors import DataEngineError
from pipelines.training import checkpoint
from pipelines.training.trainer import Trainer
from tests.support import bad_rank, forked
from tests.support.toy import Toy, losses, make_run


def disturbed(
    out: Path, change: Callable[[torch.Tensor], torch.Tensor], at: tuple[int, ...] = (6,), **settings: Any
) -> Trainer:
    """A run whose loss is changed in some steps, counted from 1."""
    torch.manual_seed(0)
    model = Toy()
    plain, now = model.loss, [0]
    model.at_step = lambda step: now.__setitem__(0, step + 1)

    def loss(batch, random, counts):  # type: ignore[no-untyped-def]
        right, figures = plain(batch, random, counts)
        return (change(right) if now[0] in at else right), figures

    model.loss = loss  # type: ignore[method-assign]
    return make_run(out, model, **settings)


def entries(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "bad_steps.jsonl").read_text().splitlines()]


def state(run: Trainer) -> dict[str, torch.Tensor]:
    moments = run.optimizer.state_dict()["state"]
    of_optimizer = {f"{i}.{name}": v.clone() for i, one in moments.items() for name, v in one.items()}
    return {name: value.clone() for name, value in run.model.state_dict().items()} | of_optimizer


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_step_that_is_no_number_ends_the_run_and_its_episodes_are_written_down(tmp_path: Path, number: float) -> None:
    run = disturbed(tmp_path, lambda loss: loss * number, log_every=5)
    with pytest.raises(DataEngineError) as caught:
        run.train()
    said = str(caught.value)
    assert f"toy: loss is {number} at step 6: rank 0 had pantry/" in said
    assert f"all in {tmp_path / 'bad_steps.jsonl'}; checkpoint of step 4 is whole; --on-bad-step skip" in said
    (bad, *_) = entries(tmp_path)
    assert (bad["step"], bad["reason"], bad["policy"]) == (6, f"loss is {number}", "stop")
    drawn = {run.loader.reader.episodes[row].episode_id for row, _ in run.loader.sampler.batch(5)}
    assert {e["episode"] for e in bad["batches"][0]["episodes"]} == drawn
    assert checkpoint.steps(tmp_path / "checkpoints") == [4]


def test_a_skipped_step_changes_neither_weights_nor_optimiser_nor_buffers(tmp_path: Path, capsys: Any) -> None:
    run = disturbed(tmp_path, lambda loss: loss * float("nan"), on_bad_step="skip", ema_decay=0.0)
    before: dict[str, torch.Tensor] = {}
    note_step = run.model.at_step

    def at_step(step: int) -> None:
        note_step(step)
        if step == 5:
            before.update(state(run))
        if step == 6:
            now = state(run)
            assert all(torch.equal(now[name], value) for name, value in before.items())

    run.model.at_step = at_step
    assert run.train().finished
    assert before
    assert "loss is nan at step 6: rank 0 had" in capsys.readouterr().err
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["skipped_steps"] for line in lines] == [0.0] * 5 + [1.0] + [0.0] * 6
    assert ["loss" in line for line in lines] == [True] * 5 + [False] + [True] * 6
    assert all(torch.isfinite(p).all() for p in run.model.parameters())


def test_without_bad_steps_both_policies_train_to_the_same_losses(tmp_path: Path) -> None:
    for policy in ("stop", "skip"):
        make_run(tmp_path / policy, on_bad_step=policy).train()
    assert losses(tmp_path / "stop") == losses(tmp_path / "skip")


def test_a_run_that_goes_on_skips_the_same_steps_for_the_same_losses(tmp_path: Path) -> None:
    settings = {"on_bad_step": "skip", "on_spike": "skip", "spike_window": 8, "spike_deviations": 500, "log_every": 3}

    def worse(loss: torch.Tensor) -> torch.Tensor:
        return loss * 1e4

    disturbed(tmp_path / "whole", worse, at=(6, 10), **settings).train()
    run = disturbed(tmp_path / "stopped", worse, at=(6, 10), **settings, max_minutes=1e-9)
    for _ in range(12):
        run.train()
        run = disturbed(tmp_path / "stopped", worse, at=(6, 10), **settings, max_minutes=1e-9)
    assert run.step == 12
    assert [e["step"] for e in entries(tmp_path / "whole")] == [6, 10]
    assert entries(tmp_path / "stopped") == entries(tmp_path / "whole")
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")


@pytest.mark.parametrize("policy", ["log", "skip", "stop"])
def test_a_loss_far_above_the_last_ones_is_a_spike(tmp_path: Path, policy: str, capsys: Any) -> None:
    settings = {"on_spike": policy, "spike_window": 6, "spike_deviations": 50}
    run = disturbed(tmp_path, lambda loss: loss + 100, at=(2, 9), **settings)
    if policy == "stop":
        with pytest.raises(DataEngineError, match=r"loss is 10\d.* at step 9: .*--on-spike skip goes on"):
            run.train()
    else:
        run.train()
        assert "above" in capsys.readouterr().err
    (bad,) = entries(tmp_path)  # step 2 comes before there is anything to compare with
    assert bad["step"] == 9
    assert bad["loss"] > 100
    assert bad["batches"][0]["episodes"]


def test_no_spikes_are_looked_for_where_nobody_wants_them(tmp_path: Path) -> None:
    disturbed(tmp_path, lambda loss: loss + 100, at=(9,), spike_window=6, spike_deviations=0).train()
    assert not (tmp_path / "bad_steps.jsonl").exists()


def test_skipping_without_end_ends(tmp_path: Path) -> None:
    run = disturbed(tmp_path, lambda loss: loss * float("nan"), at=tuple(range(1, 40)), steps=40, on_bad_step="skip")
    with pytest.raises(DataEngineError, match=r"10 steps in a row are bad, the last: loss is nan at step 10"):
        run.train()


def test_the_policy_may_change_when_a_run_goes_on(tmp_path: Path) -> None:
    run = disturbed(tmp_path, lambda loss: loss * float("nan"))
    with pytest.raises(DataEngineError, match="loss is nan"):
        run.train()
    run = disturbed(tmp_path, lambda loss: loss * float("nan"), on_bad_step="skip")
    assert run.step == 4
    assert run.train().finished


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "fsdp2"])
def test_ranks_skip_together_and_the_one_with_the_bad_batch_is_named(tmp_path: Path, sharding: str) -> None:
    forked.run(bad_rank.main, tmp_path, sharding, ranks=2)
    (bad,) = entries(tmp_path)
    assert [(one["rank"], one["part"], one["loss"]) for one in bad["batches"]] == [(1, 0, None)]
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.isfinite(value).all() for value in one.values())
