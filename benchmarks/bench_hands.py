"""What hands of people do to a latent action model: robots alone, with people, with people whose hands it feels.

    python benchmarks/bench_hands.py --out runs/hands_study

Robots are the demo's recordings: Meta-World's Sawyer is trained on, Fetch never is. People are synthetic (see
`hands_clips.py`), stored as EgoDex is and ingested by its source; half of each batch where there are any, as in
villa-X. `villa probe` reads the robots' actions on episodes kept apart; its intervals are over training seeds. What is
finished is kept: kill it and run it again. The last line is the claim: the probe's error with hands over that without.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

from claims import Claim, say
from hands_clips import clips, film
from studies import villa

SEEDS = (0, 1, 2)
VAL_FRACTION = 0.17
ROBOT, UNSEEN = "sawyer", "fetch"
TOGETHER = "{weights: {openx/metaworld: 1, egodex: 1}, human_share: 0.5}"
ARMS = {
    "people": [f"mixture={TOGETHER}"],
    "hands": [f"mixture={TOGETHER}", "use_hands=true"],
    "robots": ["mixture={weights: {openx/metaworld: 1}}"],
}
"""Settings of `villa train lam`; the first arm is what the others are compared with."""
DATASETS = {"openx/metaworld": "metaworld", "openx/fetch": "fetch_mujoco"}


def record(out: Path, each: int) -> None:
    """Record robots and people, and bring them into one corpus."""
    from pipelines.evaluation.recording import rlds
    from pipelines.evaluation.recording.record import record as record_robots
    from pipelines.evaluation.simulators._workers import run_jobs

    if (out / "corpus.done").exists():
        return
    record_robots(out / "raw", "demo", processes=1)
    for done, _ in enumerate(run_jobs(film, clips(out / "people", each), 1), 1):
        print(f"filmed {done}", flush=True)
    roots = {name: out / "raw" / "rlds" / folder / rlds.VERSION for name, folder in DATASETS.items()}
    for name, root in (roots | {"egodex": out / "people"}).items():
        villa(out, "ingest", name, root, "--corpus", out / "corpus", "--engine", "local")
    for act in ("curate", "stats"):
        (out / f"{act}.json").write_text(villa(out, act, out / "corpus"))
    (out / "corpus.done").touch()


def train(out: Path, arm: str, seed: int, steps: int) -> dict[str, Any]:
    """Train one model, unless it is there; return its report."""
    run = out / "models" / f"{arm}-{seed}"
    if not (run / "model.safetensors").exists():
        began = time.monotonic()
        wanted = [*ARMS[arm], f"seed={seed}", f"val_fraction={VAL_FRACTION}", "val_windows=200", "threads=1"]
        pairs = [word for setting in wanted for word in ("--set", setting)]
        options = ("--out", run, "--preset", "tiny", "--steps", str(steps), "--device", "cpu")
        villa(out, "train", "lam", out / "corpus", *options, *pairs)
        print(f"{arm} seed {seed}: {time.monotonic() - began:.0f} s", flush=True)
    return json.loads((run / "report.json").read_text())


def probe(out: Path) -> dict[str, Any]:
    """Read actions back from all models; the seeds of an arm are one variant."""
    compared = [word for arm in ARMS for s in SEEDS for word in ("--lam", f"{arm}={out / 'models' / f'{arm}-{s}'}")]
    held_out = ("--set", f"val_fraction={VAL_FRACTION}", "--set", "threads=1")
    return json.loads(villa(out, "probe", out / "corpus", *compared, *held_out, "--out", out / "probe"))


def line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def tell(reports: dict[str, list[dict[str, Any]]], probed: dict[str, Any]) -> str:
    """Print the tables of the results."""
    lines = [line("robot", "read from", "L1", "95 %", "by seed", "groups", "max error < 0.5"), line(*["---"] * 7)]
    for e in probed["embodiments"]:
        for r in e["readouts"]:
            within = "{:.3f} to {:.3f}".format(*r["l1_interval"]) if r["l1_interval"] and r["models"] else ""
            seeds = ", ".join(f"{x:.3f}" for x in r["l1_seeds"]) if r["models"] else ""
            groups = ", ".join(f"{name} {x:.3f}" for name, x in r["groups"].items())
            small = f"{r['small_errors']:.1%}"
            lines.append(line(e["embodiment"], r["source"], f"{r['l1']:.3f}", within, seeds, groups, small))
    head = line("against", "robot", "change of L1", "95 %", "lower", "by seed")
    lines += ["", head, line(*["---"] * 6)]
    for c in probed["comparisons"]:
        within = "{:+.1%} to {:+.1%}".format(*c["interval"])
        seeds = ", ".join(f"{x:+.1%}" for x in c["change_seeds"])
        count = f"{c['lower']} of {len(c['change_seeds'])}"
        cells = (f"{c['lam']} against {c['versus']}", c["embodiment"], f"{c['change']:+.1%}")
        lines.append(line(*cells, within, count, seeds))
    lines += [
        "",
        line("arm", "embodiment", "next frame / copy", "latents shuffled", "action", "if mean", "state", "held"),
    ]
    lines += [line(*["---"] * 8)]
    for arm, of_arm in reports.items():
        for body in sorted({v["embodiment"] for report in of_arm for v in report["scores"]["visual"]}):
            lines.append(line(arm, body, *_scores(of_arm, body)))
    return "\n".join(lines)


def _scores(reports: list[dict[str, Any]], body: str) -> list[str]:
    visual = [next(v for v in r["scores"]["visual"] if v["embodiment"] == body) for r in reports]
    felt = [p for r in reports for p in r["scores"]["proprio"] if p["embodiment"] == body]
    ratios = [[v[key] / v["copy_frame"] for v in visual] for key in ("model", "shuffled")]
    ratios += [[p[key] for p in felt] for key in ("action", "action_if_mean", "state", "state_if_held")]
    return [", ".join(f"{x:.3f}" for x in one) for one in ratios]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/hands_study"))
    parser.add_argument("--clips", type=int, default=12, help="Of each of nine tasks.")
    parser.add_argument("--steps", type=int, default=550)
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    record(out, options.clips)
    reports: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for arm, seed in sorted(
        ((arm, seed) for arm in ARMS for seed in SEEDS), key=lambda one: (one[0] == "robots", one[1])
    ):
        reports[arm].append(train(out, arm, seed, options.steps))
    probed = probe(out)
    print(tell(reports, probed))
    errors = {r["source"]: r["l1"] for e in probed["embodiments"] if e["embodiment"] == ROBOT for r in e["readouts"]}
    claim = partial(Claim, "error of the probe without hands over that with them", goal=1.0, peer="people", unit="x")
    say([claim(ratio=errors["people"] / errors["hands"])])


if __name__ == "__main__":
    main()
