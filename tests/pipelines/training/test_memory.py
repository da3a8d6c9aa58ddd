"""A training that does not fit into memory is refused in one line, with numbers, and never ended by the system."""

import dataclasses
from pathlib import Path

import pytest
import torch

from dataengine.errors import DataEngineError
from models.lam import Lam
from pipelines.training import memory
from pipelines.training.distributed import Distributed
from pipelines.training.settings import LoopConfig
from tests.support.shapes import lam_shape
from tests.support.toy import Toy, make_run

CPU = Distributed(0, 1, torch.device("cpu"))
CONFIG = LoopConfig(batch_size=512, ema_decay=0.9, async_checkpoint=False)


def num_bytes(tensors) -> int:
    return sum(t.nbytes for t in tensors)


def test_what_is_counted_before_is_what_a_run_holds(tmp_path: Path) -> None:
    run = make_run(tmp_path, steps=1, ema_decay=0.9)
    with torch.device("meta"):
        need = memory.Need.of(Toy(), run.config)
    assert need.weights == num_bytes(run.model.state_dict().values())
    assert need.averages == num_bytes(run.ema.weights().values())
    held: dict = {}
    run.optimizer.register_step_pre_hook(
        lambda *_: held.update(gradients=num_bytes(p.grad for p in run.model.parameters() if p.grad is not None))
    )
    run.train()
    assert need.gradients == held["gradients"]
    states = run.optimizer.state.values()
    assert need.moments == num_bytes(s[name] for s in states for name in ("exp_avg", "exp_avg_sq"))


def require(
    monkeypatch: pytest.MonkeyPatch, free: float, config: LoopConfig = CONFIG, distributed: Distributed = CPU
) -> str:
    monkeypatch.setattr(memory, "free_bytes", lambda: int(free))
    try:
        memory.require(lambda: Lam(lam_shape("paper")), config, distributed, 8 * 3 * 224**2)
    except DataEngineError as error:
        return str(error)
    return ""


def test_the_copy_of_a_checkpoint_is_counted_and_may_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        need = memory.Need.of(Lam(lam_shape("paper")), CONFIG)
    held = sum(need.held(0).values())
    config = CONFIG.model_copy(update={"grad_accumulation_steps": 64})
    beside = config.model_copy(update={"async_checkpoint": True})
    assert require(monkeypatch, held * 1.2, config) == ""
    message = require(monkeypatch, held * 1.2, beside)
    assert f"copy of a checkpoint {need.saved / 1e9:.1f}) and more for activations" in message
    assert message.endswith("--set async_checkpoint=false copies nothing, and waits until a checkpoint is on the disk")
    assert require(monkeypatch, held * 2.2, beside) == ""


def test_what_is_sharded_is_counted_by_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        need = memory.Need.of(Lam(lam_shape("paper")), CONFIG)
    assert sum(need.held(0, 4).values()) == pytest.approx(sum(need.held(0).values()) / 4)

    class Many(Distributed):
        def any(self, flag: bool) -> bool:
            return flag

    four = Many(0, 4, torch.device("cpu"))
    config = CONFIG.model_copy(update={"grad_accumulation_steps": 64})
    free = 0.6 * sum(need.held(0).values())
    assert "needs" in require(monkeypatch, free, config, four)
    assert require(monkeypatch, free, config.model_copy(update={"sharding": "fsdp2"}), four) == ""


def test_a_model_that_cannot_fit_is_refused_with_numbers_and_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        need = memory.Need.of(Lam(lam_shape("paper")), CONFIG)
    held = need.weights + need.gradients + need.moments + need.averages
    assert held == pytest.approx(need.num_parameters * 20, rel=0.01)
    said = require(monkeypatch, held - 1)
    assert f"training {need.num_parameters / 1e6:.0f} M parameters needs" in said
    assert f"weights {need.weights / 1e9:.1f}, gradients 1.0, optimizer 1.9, averaged weights 1.0, pictures " in said
    assert said.endswith(
        f"found {held / 1e9:.1f} GB free on cpu; take a smaller --preset, or a machine with more memory"
    )
    said = require(monkeypatch, held + 1)  # the model would fit, its pictures do not
    assert "--set grad_accumulation_steps=2 computes a step in smaller parts" in said
    assert require(monkeypatch, held * 1.2, CONFIG.model_copy(update={"grad_accumulation_steps": 64})) == ""
    assert require(monkeypatch, 1e12) == ""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert "in 8 processes" in require(monkeypatch, held * 7)
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    memory.require(lambda: Lam(lam_shape("paper")), CONFIG, CPU, 1)


def test_on_a_gpu_its_memory_counts_and_that_of_the_machine_for_what_is_made_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = dataclasses.replace(CPU, device=torch.device("cuda:0"))
    config = CONFIG.model_copy(update={"grad_accumulation_steps": 64})
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (int(1e9), int(8e9)))
    assert "found 1.0 GB free on cuda:0; take a smaller --preset" in require(monkeypatch, 1e12, config, gpu)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (int(8e9), int(8e9)))
    assert require(monkeypatch, 2e9, config, gpu) == ""
    assert "found 0.5 GB free on cpu, where a model is made" in require(monkeypatch, 0.5e9, config, gpu)


def test_activations_that_fill_the_memory_stop_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LOOK_EVERY", 1)
    run = make_run(tmp_path)
    need = memory.Need.of(run.model, run.config)
    free = [10**9] * 3
    monkeypatch.setattr(memory, "free_bytes", lambda: free.pop() if free else need.gradients + need.moments - 1)
    with pytest.raises(
        DataEngineError, match=r"^toy: activations fill the memory .*; --set grad_accumulation_steps=2 .* or --preset"
    ):
        run.train()
    assert not free


def test_a_continued_run_is_watched_in_its_first_step_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, steps=4).train()
    monkeypatch.setattr(memory, "LOOK_EVERY", 1)
    run = make_run(tmp_path, steps=8)
    steps: list[int] = []
    # The optimiser has its moments already: room for gradients is enough.
    enough = memory.Need.of(run.model, run.config).gradients + 10**6
    monkeypatch.setattr(memory, "free_bytes", lambda: steps.append(run.step) or enough)
    run.train()
    assert set(steps) == {4}


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_is_refused_later_is_one_line(tmp_path: Path, error: RuntimeError) -> None:
    def fail(step: int) -> None:
        if step == 2:
            raise error

    run = make_run(tmp_path)
    run.model.at_step = fail
    with pytest.raises(
        DataEngineError, match=r"^toy: cpu has too little memory for a step; --set grad_accumulation_steps=2 "
    ):
        run.train()
