"""The demo's models: two latent action models, labels, shards, two policies, their plans and their attempts."""

from pathlib import Path
from typing import Any

from pipelines.demo.children import run_all
from pipelines.demo.layout import DemoRun
from pipelines.demo.summary import (
    ActRun,
    CodebookSlot,
    DemoFilmstrip,
    DemoSummary,
    Evaluated,
    FrameErrors,
    Labelled,
    LamRun,
    ProbeScore,
    Rollout,
    Sharded,
)

LAM_HELD_OUT = 0.15
"""Share of the episodes that latent action models are not trained on; at 10 %, none of Fetch's thirty would be."""
ACT_HELD_OUT = 0.05
"""The same for policies, which are evaluated in the simulator; the same hash picks, so these are among those above."""
LATENT = "demo"
"""Name of the label columns."""
HUMAN = "something_something"


def mixture(weights: dict[str, float]) -> tuple[str, ...]:
    """Write the share of each dataset as settings."""
    pairs = ", ".join(f"'{name}': {weight}" for name, weight in weights.items())
    return (f"mixture.weights={{{pairs}}}",)


LAM_SHARES = {"openx/metaworld": 0.5, "openx/fetch": 0.3, "agibot": 0.1, HUMAN: 0.1}
"""Few human clips: at this size half a batch of them undoes what the proprio forward model brings."""
ACT_SHARES = {"openx/metaworld": 0.88, "openx/fetch": 0.05, "agibot": 0.03, HUMAN: 0.04}
"""The policy is evaluated on Meta-World; the others keep their heads and the latent expert busy."""

SWAPPED = {"button-press-topdown": "window-close", "window-close": "window-open", "window-open": "window-close"}
"""Task to the one whose instruction the policy gets in its scene: does it follow the text?"""


def lam(demo: DemoRun, summary: DemoSummary) -> None:
    """Train with and without the proprio forward model, side by side."""
    settings = (*demo.scale.lam, *mixture(LAM_SHARES), f"val_fraction={LAM_HELD_OUT}")
    argv = ("train", "lam", demo.corpus, "--preset", "tiny", "--device", "cpu")
    reports = run_all(
        [
            demo.command(
                f"lam_{demo.lam(proprio).name}",
                *argv,
                *("--out", demo.lam(proprio)),
                settings=(*settings, f"proprio={str(proprio).lower()}"),
            )
            for proprio in (True, False)
        ]
    )
    summary.lam = [_lam_run(demo, report) for report in reports]


def _lam_run(demo: DemoRun, report: dict[str, Any]) -> LamRun:
    """Copy what the page shows of a training run."""
    scores = report["scores"]
    return LamRun(
        name="with proprio" if report["proprio"] else "without proprio",
        proprio=report["proprio"],
        steps=report["step"],
        seconds=report["seconds"],
        parameters=report["parameters"],
        metrics=report["metrics"],
        curve=demo.relative(report["curve"]),
        visual=[
            FrameErrors(
                embodiment=v["embodiment"],
                model=v["model"] / v["copy_frame"],
                shuffled=v["shuffled"] / v["copy_frame"],
            )
            for v in scores["visual"]
        ],
        codebook=[
            CodebookSlot(**{key: slot[key] for key in ("used", "size", "perplexity")}) for slot in scores["codebook"]
        ],
        reconstructions=demo.relative(report["reconstructions"]),
    )


def probe(demo: DemoRun, summary: DemoSummary) -> None:
    """Read actions out of both models' latents."""
    argv = [word for proprio in (False, True) for word in ("--lam", demo.lam(proprio))]
    settings = (*demo.scale.probe, f"val_fraction={LAM_HELD_OUT}")
    (report,) = run_all([demo.command("probe", "probe", demo.corpus, *argv, settings=settings, threads=2)])
    names = {str(demo.lam(proprio)): demo.lam(proprio).name.replace("_", " ") for proprio in (True, False)}
    summary.probe = [
        ProbeScore(
            lam=names.get(readout["source"], readout["source"].replace("_", " ")),
            embodiment=embodiment["embodiment"],
            error=readout["l1"],
            spread=readout["l1_spread"],
            trivial=yardsticks["training median"],
            best=yardsticks["true state change"],
        )
        for embodiment in report["embodiments"]
        for yardsticks in [{r["source"]: r["l1"] for r in embodiment["readouts"]}]
        for readout in embodiment["readouts"]
        if readout["source"] not in ("training median", "true state change")
    ]


def label(demo: DemoRun, summary: DemoSummary) -> None:
    """Write latent actions for every frame, robot and human."""
    argv = ("label", demo.corpus, "--lam", demo.lam(proprio=True), "--name", LATENT)
    (report,) = run_all([demo.command("label", *argv, threads=2)])
    summary.labels = [
        Labelled(
            lam=report["name"],
            episodes=report["episodes"] + report["already"],
            steps=sum(use["latents"] for use in report["usage"]),
            seconds=report["seconds"],
        )
    ]


def shard(demo: DemoRun, summary: DemoSummary) -> None:
    """Emit the labelled corpus as pre-training shards."""
    argv = ("shard", demo.corpus, "--out", demo.shards)
    (report,) = run_all([demo.command("shard", *argv, settings=(f"latents=[{LATENT}]",))])
    summary.shards = Sharded(
        shards=report["shards"],
        episodes=report["episodes"],
        steps=report["steps"],
        num_bytes=report["bytes"],
        seconds=report["seconds"],
    )


def act(demo: DemoRun, summary: DemoSummary) -> None:
    """Train the policy with and without the latent expert, side by side."""
    robots = {name: share for name, share in ACT_SHARES.items() if name != HUMAN}
    shares = {True: ACT_SHARES, False: robots}  # without latents, human clips have nothing to teach
    settings = (*demo.scale.act, f"val_fraction={ACT_HELD_OUT}")
    argv = ("train", "act", demo.shards, "--preset", "tiny", "--device", "cpu")
    reports = run_all(
        [
            demo.command(
                f"act_{demo.act(use_latent).name}",
                *argv,
                *("--out", demo.act(use_latent)),
                settings=(*settings, *mixture(shares[use_latent]), f"use_latent={str(use_latent).lower()}"),
            )
            for use_latent in (True, False)
        ]
    )
    summary.act = [
        ActRun(
            name="with latent expert" if use_latent else "without latent expert",
            use_latent=use_latent,
            steps=report["step"],
            seconds=report["seconds"],
            parameters=report["parameters"],
            metrics=report["metrics"],
            curve=demo.relative(report["curve"]),
        )
        for use_latent, report in zip((True, False), reports, strict=True)
    ]


def plan(demo: DemoRun, summary: DemoSummary) -> None:
    """Render what the policy intends in episodes that it never saw."""
    from pipelines.evaluation.plan import PlanConfig, run

    config = PlanConfig(
        policy=str(demo.act(use_latent=True)),
        lam=str(demo.lam(proprio=True)),
        data=str(demo.shards),
        out=demo.out / "plans",
        clips=demo.scale.plans,
        val_fraction=ACT_HELD_OUT,
    )
    summary.plans = [
        DemoFilmstrip(
            image=demo.relative(drawn.image),
            caption=f"“{drawn.instruction}”: above what happened, below what the policy plans. "
            f"{drawn.code_agreement:.0%} of the planned codes are those that the latent action model reads from what "
            "happened" + ("." if drawn.held_out else "; the policy was trained on this episode, as none was held out."),
        )
        for drawn in run(config).plans
    ]


def evaluate(demo: DemoRun, summary: DemoSummary) -> None:
    """Play unseen episodes: the policy, the same without latents, and what they must be compared with."""
    with_latent, without_latent = demo.act(use_latent=True), demo.act(use_latent=False)
    every = demo.scale.tasks
    swapped = ", ".join(f"{task}: {other}" for task, other in SWAPPED.items())
    mean = (f"demonstrations={demo.corpus}",)
    plays: list[tuple[str, str | Path, tuple[str, ...], tuple[str, ...]]] = [
        ("with latent expert", with_latent, every, ()),
        ("without latent expert", without_latent, every, ()),
        ("given another instruction", with_latent, tuple(SWAPPED), (f"instruction_override={{{swapped}}}",)),
        ("replay of the mean demonstration", "replay", every, mean),
        ("random", "random", every, ()),
    ]
    summary.evaluation, summary.rollouts = [], []
    for name, policy, tasks, settings in plays:
        argv = [word for task in tasks for word in ("--task", task)]
        out = demo.out / "evaluation" / name.replace(" ", "_")
        filmed = f"num_filmstrips={2 if policy == with_latent and not settings else 0}"
        (report,) = run_all(
            [
                demo.command(
                    f"eval_{out.name}",
                    *("eval", policy, "--simulator", "metaworld", *argv),
                    *("--episodes", demo.scale.episodes, "--out", out),
                    settings=(*settings, f"name={name}", filmed),
                )
            ]
        )
        _add(demo, summary, name, out, report)


def _add(demo: DemoRun, summary: DemoSummary, policy: str, out: Path, report: dict[str, Any]) -> None:
    """Copy successes and films of one evaluation."""
    for row in report["results"]:
        keys = ("task", "successes", "episodes", "low", "high")
        other = row["instruction_override"]
        note = f"given the instruction of {other}" if other else ""
        summary.evaluation.append(Evaluated(policy=policy, note=note, **{key: row[key] for key in keys}))
        for film in row["filmstrips"]:
            summary.rollouts.append(
                Rollout(
                    image=demo.relative(out / film["image"]),
                    caption=f"“{row['instruction']}”, {film['steps']} steps at 20 Hz, start {film['seed']}",
                    task=row["task"],
                    policy=policy,
                    success=film["success"],
                )
            )
