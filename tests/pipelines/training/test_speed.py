import json
import time
from pathlib import Path

import pytest
import torch

from pipelines.training import speed as speed_module
from pipelines.training.distributed import Distributed
from pipelines.training.grad_norms import grad_norms
from pipelines.training.peak import named_peak_flops, peak_flops
from pipelines.training.settings import LoopConfig
from pipelines.training.speed import Speed
from tests.support.toy import make_run


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165),
        ("AMD Instinct MI300X", 1307),
        ("NVIDIA GeForce GTX 1080", None),
    ],
)
def test_a_gpu_is_known_by_its_name(name: str, tflops: float | None) -> None:
    assert named_peak_flops(name) == (None if tflops is None else tflops * 1e12)


def test_the_share_of_the_peak_is_work_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(speed_module.time, "perf_counter", lambda: now[0])
    config = LoopConfig(batch_size=8, peak_tflops=0.001)
    speed = Speed(config, Distributed(0, 2, torch.device("cpu")), lambda: 5e6)
    speed.begin(4)
    now[0] += 12
    figures = speed.figures(14, waited_s=1.0, apart_s=2.0)  # 10 steps in 10 s
    assert figures["samples_per_s"] == pytest.approx(8.0)
    assert figures["data_wait"] == pytest.approx(0.1)
    assert figures["mfu"] == pytest.approx(8 * 5e6 / 2e9)
    now[0] += 5
    assert speed.figures(24, waited_s=3.5, apart_s=2.0)["data_wait"] == pytest.approx(0.5)


def test_a_cpu_is_measured_and_a_setting_takes_precedence() -> None:
    cpu = torch.device("cpu")
    assert 1e8 < (peak_flops(cpu, None) or 0) < 1e14
    assert peak_flops(cpu, 2.5) == 2.5e12
    assert peak_flops(torch.device("mps"), None) is None


def test_norms_of_parts_add_up_to_the_whole(tmp_path: Path) -> None:
    run = make_run(tmp_path, log_every=3)
    run.train()
    for line in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()):
        assert {"samples_per_s", "data_wait", "memory_gb", "grad_norm_blocks", "grad_norm_write"} <= line.keys()
        assert "mfu" not in line  # nobody counted a toy
    model = run.model
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    whole = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(torch.stack([*grad_norms(model).values()]).norm(), whole)


def test_looks_at_held_out_windows_are_no_time_of_training(tmp_path: Path) -> None:
    run = make_run(tmp_path, validates=True, val_every=1, steps=3, log_every=3)
    evaluate = run.recorder.validation.run

    def slowly(*args, **kwargs):  # type: ignore[no-untyped-def]
        time.sleep(0.3)
        return evaluate(*args, **kwargs)

    run.recorder.validation.run = slowly  # type: ignore[method-assign]
    run.train()
    (line,) = [e for e in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()) if "loss" in e]
    assert line["samples_per_s"] > 3 * 8 / 0.9
