"""What a policy should learn beyond a demonstration's end: the last action again, or to stand still (Meta-World).

    python benchmarks/padded_actions.py --out runs/padded_actions

Six tasks in one model, two demonstrations of each by the demo's own recorder; `tiny` without a latent expert, 800
steps; 20 unseen starts of each task, the same for every arm and seed, so that arms are compared start by start. Beside
success: how far the policy means to go on from the last frame of demonstrations that it never saw. What is finished is
kept: kill it and run it again. The last line is the claim: success with `--arms`' second over that with its first.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from claims import Claim, say
from studies import bootstrap, villa

TASKS = ("faucet-close", "button-press-topdown", "window-open", "faucet-open", "plate-slide", "window-close")
DEMONSTRATIONS, UNSEEN = 2, 4
"""Of each task: to train on, and to ask at the end of."""
STARTS = 20
SEEDS = (0, 1, 2)


def record(out: Path) -> None:
    """Let the scripted experts play; write the first attempts as RLDS and ingest them."""
    from pipelines.evaluation.recording import attempt, rlds
    from pipelines.evaluation.simulators._workers import run_jobs
    from pipelines.evaluation.simulators.metaworld import Metaworld

    for task in TASKS:
        if not (out / "unseen" / f"{task}.npz").exists():
            recorded = attempt.record_attempts(Metaworld(task), task, DEMONSTRATIONS + UNSEEN)
            attempt.save(out / "attempts" / f"{task}.npz", recorded[:DEMONSTRATIONS])
            attempt.save(out / "unseen" / f"{task}.npz", recorded[DEMONSTRATIONS:])
    if not (out / "corpus").exists():
        list(run_jobs(_write, [out], 1))  # a process of its own: tensorflow and drawing do not go together
        raw = out / "rlds" / "metaworld" / rlds.VERSION
        villa(out, "ingest", "openx/metaworld", raw, "--corpus", out / "corpus", "--engine", "local")
        villa(out, "stats", out / "corpus")


def _write(out: Path) -> None:
    from pipelines.evaluation.recording import rlds

    rlds.write_metaworld(sorted((out / "attempts").glob("*.npz")), out / "rlds", 1)


def train_and_play(out: Path, arm: str, seed: int) -> dict[int, list[bool]]:
    """Give by task which starts one policy solved."""
    run = out / f"{arm}-{seed}"
    settings = [f"padded_actions={arm}", f"seed={seed}", "use_latent=false", "val_fraction=0"]
    pairs = [word for setting in settings for word in ("--set", setting)]
    if not (run / "model.safetensors").exists():
        options = ("--out", run, "--preset", "tiny", "--steps", "800", "--device", "cpu")
        villa(out, "train", "act", out / "corpus", *options, *pairs)
    tasks = [word for task in TASKS for word in ("--task", task)]
    options = ("--episodes", str(STARTS), "--out", out / "played", "--set", "processes=1", "--set", "num_filmstrips=0")
    report = json.loads(villa(out, "eval", run, "--simulator", "metaworld", *tasks, *options))
    results = report.get("report", report)["results"]
    return {TASKS.index(r["task"]): _solved(r["failed_seeds"]) for r in results}


def _solved(failed: list[int]) -> list[bool]:
    from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM

    return [EVAL_SEEDS_FROM + i not in failed for i in range(STARTS)]


def way_on(out: Path, arm: str, seed: int) -> float:
    """Metres that the policy means to go from the last frame of unseen demonstrations, averaged."""
    import simplejpeg

    from pipelines.evaluation.policy import ActPolicy
    from pipelines.evaluation.recording import attempt
    from pipelines.evaluation.simulators._base import Observation
    from pipelines.evaluation.simulators.metaworld import Metaworld

    policy = ActPolicy.load(out / f"{arm}-{seed}")
    seen, said = [], []
    for task in TASKS:
        for a in attempt.load(out / "unseen" / f"{task}.npz"):
            hand, opening = a.raw_state[-1, :3], np.clip(a.raw_state[-1, 3:4], 0, 1)
            state = np.concatenate([hand, np.zeros(3, np.float32), opening]).astype(np.float32)
            picture = simplejpeg.decode_jpeg(a.images[-1], colorspace="RGB")
            seen.append(
                Observation(
                    image=picture,
                    raw_state=a.raw_state[-1],
                    state=state,
                    embodiment=Metaworld.embodiment,
                    control_hz=Metaworld.control_hz,
                )
            )
            said.append(a.instruction)
    moves = policy.act_batch(seen, said)[..., :3]
    return float(np.linalg.norm(moves, axis=-1).sum(axis=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/padded_actions"))
    parser.add_argument(
        "--arms", nargs="+", default=["repeat", "rest"], help="The first is what others are held against."
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    record(out)
    solved: dict[str, list[np.ndarray]] = {arm: [] for arm in options.arms}
    for seed in options.seeds:
        for arm in options.arms:
            by_task = train_and_play(out, arm, seed)
            solved[arm].append(np.concatenate([by_task[i] for i in range(len(TASKS))]))
            counts = " ".join(f"{TASKS[i]} {sum(by_task[i])}" for i in range(len(TASKS)))
            far = way_on(out, arm, seed)
            print(
                f"{arm} seed {seed}: {solved[arm][-1].sum()} of {len(TASKS) * STARTS} ({counts}); {far:.3f} m on",
                flush=True,
            )
    base = np.array(solved[options.arms[0]])
    for arm in options.arms[1:]:
        mine = np.array(solved[arm])
        low, high = bootstrap(mine.astype(float) - base)
        won, lost = (mine & ~base).sum(), (base & ~mine).sum()
        print(f"{arm}: {mine.mean():.1%} v {base.mean():.1%}, {100 * (mine.mean() - base.mean()):+.1f} points")
        print(
            f"  95 % from {100 * low:+.1f} to {100 * high:+.1f}; alone solved {won}, alone failed {lost} of {mine.size}"
        )
    ratio = float(np.mean(solved[options.arms[1]]) / max(base.mean(), 1e-9))
    say([Claim(f"success with {options.arms[1]}", ratio, 1.0, f"padded_actions={options.arms[0]}", "success")])


if __name__ == "__main__":
    main()
