"""What pre-training on one robot is worth to another that it never saw: fine-tuned against trained from scratch.

    python benchmarks/finetune_study.py --out runs/finetune_study

A policy with a latent expert (`tiny`) is pre-trained on six tasks of Meta-World's Sawyer. Then the Fetch arm, which
neither it nor its latent action model saw, gets a few demonstrations: each arm of the study is trained on them for
equally many steps, over three seeds, and plays unseen starts, the same for all arms. What is finished is kept: kill it
and run it again. The last line is the claim: the error of actions from scratch over that of the fine-tuned policy.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from claims import Claim, say
from scipy import stats
from studies import bootstrap, villa

SAWYER = ("faucet-close", "button-press-topdown", "window-open", "faucet-open", "plate-slide", "window-close")
FETCH = ("reach", "push", "pick-and-place")
DEMONSTRATIONS = {"metaworld": 20, "fetch": 10}
"""Of each task."""
SEEDS = (0, 1, 2)
STEPS = 200
STARTS = 20
TASK = "reach"
"""What is played: `push` and `pick-and-place` are beyond any policy of this size."""
ARMS = ("scratch", "full", "lora")
EVAL_SEEDS_FROM = 1_000_000
"""First of the starts that are never recorded."""


def record(out: Path) -> None:
    """Let scripted experts play, write RLDS, ingest it: a corpus of each robot."""
    from pipelines.evaluation.recording import attempt, rlds
    from pipelines.evaluation.simulators._base import simulator_class
    from pipelines.evaluation.simulators._workers import run_jobs

    for name, tasks in (("metaworld", SAWYER), ("fetch", FETCH)):
        made = simulator_class(name)
        for task in tasks:
            file = out / "attempts" / name / f"{task}.npz"
            if not file.exists():
                attempt.save(file, attempt.record_attempts(made(task), task, DEMONSTRATIONS[name]))
        if not (out / name / "stats.lance").exists():
            list(run_jobs(_write, [(out, name)], 1))  # a process of its own: tensorflow and drawing do not go together
            raw = out / "rlds" / ("metaworld" if name == "metaworld" else "fetch_mujoco") / rlds.VERSION
            villa(out, "ingest", f"openx/{name}", raw, "--corpus", out / name, "--engine", "local")
            villa(out, "stats", out / name)


def _write(job: tuple[Path, str]) -> None:
    from pipelines.evaluation.recording import rlds

    out, name = job
    write = rlds.write_metaworld if name == "metaworld" else rlds.write_fetch
    write(sorted((out / "attempts" / name).glob("*.npz")), out / "rlds", 1)


def pretrain(out: Path) -> None:
    """Train a latent action model and a policy on the Sawyer alone; label both robots with that model."""
    if not (out / "lam" / "model.safetensors").exists():
        train(out, "lam", out / "metaworld", out / "lam", "steps=700", "model.proprio_weight=4")
    for name in ("metaworld", "fetch"):
        villa(out, "label", out / name, "--lam", out / "lam", "--name", "sawyer")
    if not (out / "pretrained" / "model.safetensors").exists():
        train(out, "act", out / "metaworld", out / "pretrained", "steps=1500", "val_fraction=0.05")


def train(out: Path, model: str, data: Path, run: Path, *settings: str) -> str:
    """Train a model of size `tiny`."""
    options = ("--out", run, "--preset", "tiny", "--device", "cpu", *pairs(settings))
    return villa(out, "train", model, data, *options)


def pairs(settings: Sequence[str]) -> list[str]:
    """Write settings as options."""
    return [word for setting in settings for word in ("--set", setting)]


def tune(out: Path, arm: str, seed: int) -> float:
    """Train one arm on the new robot's demonstrations; give its error of actions on held-out ones."""
    run = out / f"{arm}-{seed}"
    if not (run / "model.safetensors").exists():
        settings = (f"seed={seed}", f"steps={STEPS}", "batch_size=32", "val_fraction=0.2", "val_every=0")
        if arm == "scratch":
            train(out, "act", out / "fetch", run, *settings, "warmup_steps=40")
        else:
            options = ("--embodiment", "fetch", "--mode", arm, "--out", run, "--device", "cpu", *pairs(settings))
            villa(out, "finetune", out / "pretrained", out / "fetch", *options)
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return report["scores"]["embodiments"][0]["action_error"]


def play(out: Path, arm: str, seed: int) -> list[bool]:
    """Say which starts one policy solved."""
    options = ("--episodes", str(STARTS), "--out", out / "played", *pairs(("processes=1", "num_filmstrips=0")))
    said = villa(out, "eval", out / f"{arm}-{seed}", "--simulator", "fetch", "--task", TASK, *options)
    (result,) = json.loads(said)["results"]
    return [EVAL_SEEDS_FROM + i not in result["failed_seeds"] for i in range(STARTS)]


def paired(differences: np.ndarray) -> tuple[float, float]:
    """Bound the mean of differences, a seed each, with 95 % (Student's t)."""
    half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    return float(differences.mean() - half), float(differences.mean() + half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/finetune_study"))
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    record(out)
    pretrain(out)
    errors = {arm: [tune(out, arm, seed) for seed in SEEDS] for arm in options.arms}
    for arm, of_arm in errors.items():
        low, high = paired(np.subtract(of_arm, errors["scratch"]))
        print(
            f"{arm}: error of actions {', '.join(f'{e:.4f}' for e in of_arm)}, mean {np.mean(of_arm):.4f}; "
            f"against scratch 95 % from {low:+.4f} to {high:+.4f}",
            flush=True,
        )
    solved = {arm: np.array([play(out, arm, seed) for seed in SEEDS], float) for arm in options.arms}
    for arm, one in solved.items():
        low, high = bootstrap(one - solved["scratch"])
        gain = one.mean() - solved["scratch"].mean()
        print(
            f"{arm}: {TASK} {[int(n) for n in one.sum(1)]} of {STARTS}, {one.mean():.1%}; against scratch "
            f"{100 * gain:+.1f} points, 95 % from {100 * low:+.1f} to {100 * high:+.1f}"
        )
    ratio = float(np.mean(errors["scratch"]) / np.mean(errors["full"]))
    say([Claim("error of actions from scratch, over that fine-tuned", ratio, 1.0, "from scratch", "error")])


if __name__ == "__main__":
    main()
