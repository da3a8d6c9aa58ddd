"""A demo run that never happened: every number and picture in it is made up, to look at the page."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.demo.summary import (
    ActRun,
    CodebookSlot,
    Curation,
    DemoFilmstrip,
    DemoSummary,
    EmbodimentStats,
    Evaluated,
    FrameErrors,
    Ingested,
    Labelled,
    LamRun,
    ProbeScore,
    Recorded,
    RejectedRecord,
    Rollout,
    RuleOutcome,
    Sharded,
    StageTime,
)
from pipelines.evaluation.results import wilson

TASKS = {"button-press-topdown": True, "window-close": True, "window-open": True, "faucet-close": False, "push": False}
POLICIES = {"villa": 19, "no latent": 18, "swapped instruction": 2, "mean replay": 9, "random": 0}
SOURCES = (
    ("openx/metaworld", "sawyer", "robot", 20.0),
    ("openx/fetch", "fetch", "robot", 25.0),
    ("agibot", "agibot_g1", "robot", 30.0),
    ("something_something", "human_hand", "human", 12.0),
)


def make_run(folder: Path) -> DemoSummary:
    """Write a whole run's summary and the files that it names."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for name, end in (("lam", 0.2), ("lam-no-proprio", 0.35), ("act", 0.1), ("act-no-latent", 0.14)):
        _write_curve(folder / name / "metrics.jsonl", end, random)
    for name, columns, rows in (("strip", 10, 1), ("pairs", 5, 6), ("plan", 6, 1)):
        _draw(folder / "pictures" / f"{name}.png", columns, rows, random)
    summary = DemoSummary(
        title="villa demo",
        command="villa demo --out runs/demo",
        recorded=[
            Recorded(source=s, root=f"raw/{s}", episodes=120, steps=4200, simulated=k == "robot", note="made up")
            for s, _, k, _ in SOURCES
        ],
        ingest=[
            Ingested(
                source=source,
                planned_parts=8,
                committed_parts=8,
                skipped_parts=0,
                rejected_records=int(source == "agibot"),
                episodes=119,
                steps=4173,
                seconds=11.3,
                kind=kind,
                embodiment=body,
                control_hz=hz,
                num_bytes=41_000_000,
            )
            for source, body, kind, hz in SOURCES
        ],
        rejects=[
            RejectedRecord(source="agibot", record="327/648649", reason="head_color.mp4 is missing; <expected> 1")
        ],
        curation=Curation(
            episodes=476,
            kept=451,
            rules=[RuleOutcome(rule="drop_still", checked=357, dropped=25, example="moved 0.01 m")],
        ),
        stats=[
            EmbodimentStats(embodiment=body, episodes=112, steps=4000, state_dim=7, action_dim=7)
            for _, body, kind, _ in SOURCES
            if kind == "robot"
        ],
        lam=[_lam("lam", True), _lam("lam-no-proprio", False)],
        probe=[
            ProbeScore(lam=lam, embodiment=body, error=error + shift, trivial=0.45, best=0.26, spread=0.012)
            for lam, shift in (("lam", 0.0), ("lam-no-proprio", 0.05))
            for body, error in (("sawyer", 0.35), ("fetch", 0.3), ("agibot_g1", 0.33))
        ],
        labels=[Labelled(lam="lam", episodes=451, steps=15800, seconds=21.5)],
        shards=Sharded(shards=6, episodes=451, steps=15800, num_bytes=171_000_000, seconds=4.1),
        act=[
            ActRun(
                name="act", use_latent=True, steps=2000, seconds=181.0, parameters=2_400_000, curve="act/metrics.jsonl"
            ),
            ActRun(
                name="act-no-latent",
                use_latent=False,
                steps=2000,
                seconds=150.2,
                parameters=1_900_000,
                curve="act-no-latent/metrics.jsonl",
            ),
        ],
        plans=[DemoFilmstrip(image="pictures/plan.png", caption="'close the window': six latent actions ahead")],
        evaluation=[_evaluated(task, gate, policy) for task, gate in TASKS.items() for policy in POLICIES],
        rollouts=[
            Rollout(image="pictures/strip.png", caption="", task=task, policy="villa", success=gate)
            for task, gate in TASKS.items()
        ],
        timings=[
            StageTime(stage=stage, seconds=seconds)
            for stage, seconds in (
                ("record", 161.0),
                ("ingest", 44.0),
                ("lam", 143.0),
                ("act", 260.0),
                ("evaluate", 63.0),
            )
        ],
        versions={"villa-engine": "0.1.0", "torch": "2.13.0", "ray": "2.60.0", "python": "3.11.7"},
        machine="2 cores, no GPU",
    )
    summary.save(folder)
    return summary


def _lam(name: str, proprio: bool) -> LamRun:
    return LamRun(
        name=name,
        proprio=proprio,
        steps=550,
        seconds=71.0,
        parameters=1_150_000,
        curve=f"{name}/metrics.jsonl",
        metrics={"held_out_visual": 0.0042},
        visual=[
            FrameErrors(embodiment=body, model=model, shuffled=0.96)
            for body, model in (("sawyer", 0.66), ("fetch", 0.72), ("agibot_g1", 0.85))
        ],
        codebook=[CodebookSlot(used=31, size=32, perplexity=12.3 + slot) for slot in range(4)],
        reconstructions="pictures/pairs.png",
    )


def _evaluated(task: str, gate: bool, policy: str) -> Evaluated:
    successes = POLICIES[policy] if gate else POLICIES[policy] // 3
    low, high = wilson(successes, 20)
    return Evaluated(task=task, policy=policy, successes=successes, episodes=20, low=low, high=high)


def _write_curve(file: Path, end: float, random: np.random.Generator) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    decay = end + (1 - end) * np.exp(-np.arange(0, 550, 2) / 90)
    rows = [
        {"step": 2 * i, "loss": value * noise, "visual_over_copy": value * noise, "lr": 1e-3}
        for i, (value, noise) in enumerate(zip(decay, random.lognormal(0, 0.15, len(decay)), strict=True))
    ]
    for row in rows[::25]:
        row["val_loss"] = row["loss"] * 1.1
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _draw(file: Path, columns: int, rows: int, random: np.random.Generator) -> None:
    """Draw a picture of the size that a filmstrip has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    side = 64
    across, down = np.meshgrid(np.linspace(0, columns, columns * side), np.linspace(0, rows, rows * side))
    waves = [127 + 100 * np.sin(3 * (across + shift) + 2 * down) for shift in range(3)]
    noise = random.normal(0, 6, (*across.shape, 3))
    Image.fromarray(np.clip(np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)).save(file)
