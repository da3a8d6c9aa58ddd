"""What the demo's model stages report: latent action models, labels, shards, policies, their plans and attempts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.demo.data import Reports
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

LAMS = ("lam_with_proprio", "lam_without_proprio")
ACTS = ("act_with_latent", "act_without_latent")
PLAYS = ("eval_with_latent", "eval_without_latent", "eval_other_instruction", "eval_replay", "eval_random")
"""The main policy comes first."""


def lam(reports: Reports, summary: DemoSummary) -> None:
    """Say how both latent action models came out, with and without the proprio forward model."""
    summary.lam = [_lam_run(summary, reports[name]) for name in LAMS]


def _lam_run(summary: DemoSummary, report: Mapping[str, Any]) -> LamRun:
    scores = report["scores"]
    return LamRun(
        name="with proprio" if report["proprio"] else "without proprio",
        proprio=report["proprio"],
        steps=report["step"],
        seconds=report["seconds"],
        parameters=report["parameters"],
        metrics=report["metrics"],
        curve=summary.relative(report["curve"]),
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
        reconstructions=summary.relative(report["reconstructions"]),
    )


def probe(reports: Reports, summary: DemoSummary) -> None:
    """Say what actions are read out of both models' latents."""
    summary.probe = [
        ProbeScore(
            lam=Path(readout["source"]).name.replace("_", " "),
            embodiment=embodiment["embodiment"],
            error=readout["l1"],
            spread=readout["l1_spread"],
            trivial=yardsticks["training median"],
            best=yardsticks["true state change"],
        )
        for embodiment in reports["probe"]["embodiments"]
        for yardsticks in [{r["source"]: r["l1"] for r in embodiment["readouts"]}]
        for readout in embodiment["readouts"]
        if readout["source"] not in ("training median", "true state change")
    ]


def label(reports: Reports, summary: DemoSummary) -> None:
    """Say how many frames have latent actions, of robots and humans."""
    report = reports["label"]
    summary.labels = [
        Labelled(
            lam=report["name"],
            episodes=report["episodes"] + report["already"],
            steps=sum(use["latents"] for use in report["usage"]),
            seconds=report["seconds"],
        )
    ]


def shard(reports: Reports, summary: DemoSummary) -> None:
    """Say what the shards hold."""
    report = reports["shard"]
    keys = ("shards", "episodes", "steps", "seconds")
    summary.shards = Sharded(num_bytes=report["bytes"], **{key: report[key] for key in keys})


def act(reports: Reports, summary: DemoSummary) -> None:
    """Say how both policies were trained, with and without the latent expert."""
    summary.act = [
        ActRun(
            name=name.removeprefix("act_").replace("_", " ") + " expert",
            use_latent=name == ACTS[0],
            steps=report["step"],
            seconds=report["seconds"],
            parameters=report["parameters"],
            metrics=report["metrics"],
            curve=summary.relative(report["curve"]),
        )
        for name in ACTS
        for report in [reports[name]]
    ]


def plan(reports: Reports, summary: DemoSummary) -> None:
    """Show what the policy intends in episodes that it never saw."""
    summary.plans = [
        DemoFilmstrip(
            image=summary.relative(drawn["image"]),
            caption=f"“{drawn['instruction']}”: above what happened, below what the policy plans. "
            f"{drawn['code_agreement']:.0%} of the planned codes are those that the latent action model reads from "
            "what happened"
            + ("." if drawn["held_out"] else "; the policy was trained on this episode, as none was held out."),
        )
        for drawn in reports["plan"]["plans"]
    ]


def evaluate(reports: Reports, summary: DemoSummary) -> None:
    """Say how often each player solved each task."""
    summary.evaluation, summary.rollouts = [], []
    for name in PLAYS:
        _add(summary, reports[name])


def _add(summary: DemoSummary, report: Mapping[str, Any]) -> None:
    """Copy successes and films of one evaluation."""
    out, policy = Path(report["out"]), report["policy"]
    for row in report["results"]:
        keys = ("task", "successes", "episodes", "low", "high")
        other = row["instruction_override"]
        note = f"given the instruction of {other}" if other else ""
        summary.evaluation.append(Evaluated(policy=policy, note=note, **{key: row[key] for key in keys}))
        for film in row["filmstrips"]:
            summary.rollouts.append(
                Rollout(
                    image=summary.relative(out / film["image"]),
                    caption=f"“{row['instruction']}”, {film['steps']} steps at 20 Hz, start {film['seed']}",
                    task=row["task"],
                    policy=policy,
                    success=film["success"],
                )
            )
