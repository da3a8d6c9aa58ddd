"""`villa eval`: policies in closed loop, alone and against one another."""

import contextlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
import typer.core

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report
    from pipelines.evaluation.config import EvalConfig
    from pipelines.evaluation.libero.config import LiberoConfig
    from pipelines.evaluation.rollouts import RolloutFiles

PLAY = "play"
Played = TypeVar("Played", "EvalConfig", "LiberoConfig")


class ByName(typer.core.TyperGroup):
    """Takes the name of a simulator for its command: `villa eval metaworld runs/act`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command first where a simulator, or in the former way a policy, stands there."""
        if args and args[0] not in self.commands and not {"--help", "-h"} & set(args[:1]):
            args = [PLAY, *(args if _is_simulator(args[0]) else _as_today(args))]
        return super().parse_args(ctx, args)


def _is_simulator(name: str) -> bool:
    from pipelines.evaluation.simulators._base import ALIASES, simulator_names

    is_own = ":" in name and not name.startswith("-") and not Path(name).exists()
    return is_own or name in ALIASES or name in simulator_names()


def _as_today(args: Sequence[str]) -> list[str]:
    """Turn `villa eval POLICY --simulator NAME` of version 0.2 into `villa eval NAME POLICY`."""
    rest, simulator = list(args), ""
    for i, word in enumerate(rest):
        if word == "--simulator" and i + 1 < len(rest):
            simulator = rest[i + 1]
            del rest[i : i + 2]
            break
        if word.startswith("--simulator="):
            simulator = word.partition("=")[2]
            del rest[i]
            break
    if rest and rest[0].startswith("-") and not simulator:
        return rest  # a file of settings says both
    simulator = simulator or _said_by_file(rest) or "metaworld"
    policy = rest[0] if rest and not rest[0].startswith("-") else "POLICY"
    typer.echo(f"write `villa eval {simulator} {policy}`; the next version takes no --simulator", err=True)
    return [simulator, *rest]


def _said_by_file(args: Sequence[str]) -> str:
    """Give the simulator of `--config FILE`, empty where there is none; what is wrong with the file is said later."""
    import yaml

    for option, value in pairwise(args):
        if option == "--config":
            with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
                settings = yaml.safe_load(Path(value).read_text(encoding="utf-8"))
                return str(settings.get("simulator", "")) if isinstance(settings, dict) else ""
    return ""


evaluation = typer.Typer(
    cls=ByName,
    help="Play a policy in a simulator, `villa eval SIMULATOR POLICY`, and compare policies.",
    rich_markup_mode=None,
)
app.add_typer(evaluation, name="eval")

Simulator = Annotated[str, typer.Argument(help="Where to play; `module:Class` is one of your own.")]
Task = Annotated[list[str] | None, typer.Option(help="Task to play, may be repeated; by default the simulator's own.")]
Device = Annotated[str | None, typer.Option(help="`cpu`, `cuda` ...; by default the best there is.")]
ActsAs = Annotated[
    str | None, typer.Option(help="Which of the robot's datasets to act as in; by default the simulator's own.")
]


@command(
    evaluation,
    "eval play",
    example="villa eval play metaworld runs/act\n"
    "villa eval play metaworld runs/act --task button-press-topdown --task window-close --episodes 50 --out runs/eval\n"
    "villa eval play lift expert\n"
    "villa eval play fetch --server ws://127.0.0.1:8000",
    configs={"": "pipelines.evaluation.config:EvalConfig"},
    choices={"simulator": "pipelines.evaluation.simulators._base:simulator_names"},
)
def play(
    simulator: Simulator,
    settings: Settings,
    policy: Annotated[
        str | None,
        typer.Argument(help="Folder of the trained policy, or a baseline: `random`, `replay`, `expert`."),
    ] = None,
    task: Task = None,
    server: Annotated[str | None, typer.Option(help="Address of a policy server, in place of a policy.")] = None,
    episodes: Annotated[int | None, typer.Option(help="Unseen starts per task.")] = None,
    acts_as: ActsAs = None,
    out: Annotated[Path | None, typer.Option(help="Folder of results, filmstrips and videos.")] = None,
    device: Device = None,
) -> "Report":
    """Run a policy in a simulator, on starts that training never saw; successes with Wilson intervals.

    `villa eval SIMULATOR POLICY` is the same. Kill it and run the same command again: it goes on behind the last
    episode.
    """
    from pipelines.evaluation.config import EvalConfig

    if policy is not None and server is not None:
        raise typer.BadParameter(f"found policy '{policy}' beside --server {server}, expected one of them")
    config = settings.fill(
        EvalConfig,
        policy=policy or server,
        simulator=simulator,
        tasks=task or None,
        episodes=episodes,
        acts_as=acts_as,
        out=out,
        device=device,
    )
    from pipelines.evaluation import evaluate as pipeline

    return _played(config, pipeline.run, pipeline.rollout_files)


def _played(config: Played, run: Callable[[Played], "Report"], files: Callable[[Played], "RolloutFiles"]) -> "Report":
    """Play, then write and explain what was played, as far as that is asked for."""
    if not config.records:
        return run(config)
    from pipelines.evaluation.failures import after_eval
    from pipelines.serving import rollouts

    played = files(config)
    if config.record is not None:
        rollouts.check(config.record, played)
    if config.mine_failures:
        after_eval.check(config)
    report = run(config)
    if config.record is not None:
        recorded = f"{rollouts.write(config.record, played)} episodes in {config.record}"
        report = report.model_copy(update={"recorded": recorded})
    if config.mine_failures:
        report = report.model_copy(update={"mined": after_eval.mine(config, played, config.device).summary()})
    return report


@command(
    evaluation,
    "eval failures",
    example="villa eval failures runs/eval runs/corpus --lam runs/lam\n"
    "villa eval failures runs/rollouts-corpus runs/corpus --lam runs/lam --nearest 5",
    configs={"": "pipelines.evaluation.failures.config:FailuresConfig"},
)
def failures(
    rollouts: Annotated[
        str, typer.Argument(help="Folder of an evaluation with --record or --mine-failures, or corpus of rollouts.")
    ],
    corpus: Annotated[str, typer.Argument(help="Corpus, or folder of shards, that the policy was trained on.")],
    settings: Settings,
    lam: Annotated[Path | None, typer.Option(help="Folder of the latent action model that compares them.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the page, the table and the pictures.")] = None,
    device: Device = None,
) -> "Report":
    """List failed rollouts beside the training episodes nearest to them in latent actions; table, JSON and a page.

    `villa eval SIMULATOR POLICY --mine-failures CORPUS --lam LAM` plays and does this after it.
    """
    from pipelines.evaluation.failures import failures as pipeline
    from pipelines.evaluation.failures.config import FailuresConfig

    return pipeline.run(
        settings.fill(FailuresConfig, rollouts=rollouts, corpus=corpus, lam=lam, out=out, device=device)
    )


@command(
    evaluation,
    "eval compare",
    example="villa eval compare runs/act-plain runs/act --simulator metaworld --budget 300\n"
    "villa eval compare runs/act-plain runs/act --simulator libero --task libero_object\n"
    "villa eval compare runs/eval@act-plain runs/eval@act",
    configs={"": "pipelines.evaluation.compare.config:CompareConfig"},
    choices={"simulator": "pipelines.evaluation.libero_rules:simulators_and_libero"},
)
def compare(
    policies: Annotated[
        list[str],
        typer.Argument(
            help="Policies or baselines to play, or folders of finished evaluations; the first against each."
        ),
    ],
    settings: Settings,
    simulator: Annotated[str | None, typer.Option(help="Where to play.")] = None,
    task: Task = None,
    budget: Annotated[int | None, typer.Option(help="Most starts, over all tasks together.")] = None,
    acts_as: ActsAs = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the episodes, the report and the picture.")] = None,
    device: Device = None,
) -> "Report":
    """Say which policy is better, from the same starts for all, with no more episodes than it takes.

    A sequential test looks after every pair and errs with a probability of at most `level`; p-values of single tasks,
    and of several policies, are adjusted for their number (Holm). Kill it and run the same
    command again: it goes on behind the last episode.
    """
    from pipelines.evaluation.compare.config import CompareConfig
    from pipelines.evaluation.libero_rules import LIBERO

    config = settings.fill(
        CompareConfig,
        policies=tuple(policies or ()) or None,
        simulator=simulator,
        tasks=task or None,
        budget=budget,
        acts_as=acts_as,
        out=out,
        device=device,
    )
    if config.simulator == LIBERO:
        from pipelines.evaluation.libero import comparing as elsewhere

        return elsewhere.run(config)
    from pipelines.evaluation.compare import compare as here

    return here.run(config)


@command(
    evaluation,
    "eval libero",
    example="villa eval libero runs/act --suite libero_object\n"
    "villa eval libero runs/act --beside '[random, replay, expert, blank, swapped]' --init-set wide\n"
    "villa eval libero --server ws://127.0.0.1:8000 --suite libero_spatial --tasks 0\n"
    "villa eval libero runs/act --record runs/rollouts --mine-failures runs/corpus --lam runs/lam",
    configs={"": "pipelines.evaluation.libero.config:LiberoConfig"},
)
def libero(
    settings: Settings,
    policy: Annotated[
        str | None,
        typer.Argument(
            help="Folder of the trained policy, or a baseline: `random`, `replay`, `expert`; none with --server."
        ),
    ] = None,
    suite: Annotated[str | None, typer.Option(help="`libero_object`, `_spatial`, `_goal`, `_10`, `_90`.")] = None,
    server: Annotated[str | None, typer.Option(help="Address of a policy server, in place of a policy.")] = None,
    episodes: Annotated[int | None, typer.Option(help="Starts of each task; 50 are official.")] = None,
    workers: Annotated[int | None, typer.Option(help="Simulators side by side.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of results and filmstrips.")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu`, `cuda` of the policy.")] = None,
) -> "Report":
    """Play LIBERO through a policy server, on the official starts; every episode is kept, and a killed run goes on.

    `make sim-libero` installs the simulator. `docs/evaluation.md` says which constants change a score.
    """
    from pipelines.evaluation.libero import libero as pipeline
    from pipelines.evaluation.libero.config import LiberoConfig

    config = settings.fill(
        LiberoConfig,
        policy=policy,
        suite=suite,
        server=server,
        episodes=episodes,
        workers=workers,
        out=out,
        device=device,
    )
    return _played(config, pipeline.run, pipeline.rollout_files)


@command(
    evaluation,
    "eval calibrate",
    example="villa eval calibrate metaworld\nvilla eval calibrate libero\n"
    "villa eval calibrate fetch --demos runs/corpus",
    configs={"": "pipelines.evaluation.calibrate.config:CalibrateConfig"},
    choices={"simulator": "pipelines.evaluation.libero_rules:simulators_and_libero"},
)
def calibrate(
    simulator: Simulator,
    settings: Settings,
    demos: Annotated[
        str | None,
        typer.Option(help="Corpus of recordings: rollouts of `--record`, ingested, or what a policy was trained on."),
    ] = None,
    task: Task = None,
    out: Annotated[Path | None, typer.Option(help="Folder of calibrations.")] = None,
) -> "Report":
    """Hold the installed simulator against recorded rollouts: poses, pictures and success.

    `villa eval` says beside its scores whether the simulator is calibrated, and refuses one whose calibration failed.
    """
    from pipelines.evaluation.calibrate.config import CalibrateConfig
    from pipelines.evaluation.libero_rules import LIBERO

    config = settings.fill(CalibrateConfig, simulator=simulator, demos=demos, tasks=task or None, out=out)
    if config.simulator == LIBERO:
        from pipelines.evaluation.libero import calibrate as elsewhere

        return elsewhere.run(config)
    from pipelines.evaluation.calibrate import calibrate as here

    return here.run(config)


@command(
    evaluation,
    "eval libero-record",
    example="villa eval libero-record --episodes 20 --out runs/libero",
    configs={"": "pipelines.evaluation.libero.record:RecordConfig"},
)
def libero_record(
    settings: Settings,
    episodes: Annotated[
        int | None, typer.Option(help="Successful episodes of each task from each kind of start.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the recordings.")] = None,
) -> "Report":
    """Record a scripted expert in LIBERO-Object, in both publishers' forms; killed, the same command goes on."""
    from pipelines.evaluation.libero import record as pipeline

    return pipeline.run(settings.fill(pipeline.RecordConfig, episodes=episodes, out=out))


@command(
    evaluation,
    "eval openloop",
    example="villa eval openloop runs/act runs/corpus\nvilla eval openloop runs/act runs/corpus --val-fraction 1",
    configs={"": "pipelines.evaluation.openloop.config:OpenLoopConfig"},
)
def openloop(
    policy: Annotated[str, typer.Argument(help="Folder of the trained policy.")],
    corpus: Annotated[str, typer.Argument(help="Corpus, or folder of shards, whose held-out episodes are used.")],
    settings: Settings,
    out: Annotated[Path | None, typer.Option(help="Folder of the report and the picture.")] = None,
    device: Device = None,
) -> "Report":
    """Measure predicted actions against recorded ones, per step and value, beside the mean action and holding still."""
    from pipelines.evaluation.openloop import open_loop as pipeline
    from pipelines.evaluation.openloop.config import OpenLoopConfig

    return pipeline.run(settings.fill(OpenLoopConfig, policy=policy, corpus=corpus, out=out, device=device))


@command(
    evaluation,
    "eval planning",
    example="villa eval planning runs/act runs/corpus --lam runs/lam\n"
    "villa eval planning runs/act runs/other-robot --lam runs/lam --starts 200",
    configs={"": "pipelines.evaluation.planning.config:PlanningConfig"},
)
def planning(
    policy: Annotated[str, typer.Argument(help="Folder of a policy that was trained with latent actions.")],
    corpus: Annotated[str, typer.Argument(help="Corpus, or folder of shards, of any embodiments.")],
    settings: Settings,
    lam: Annotated[str | None, typer.Option(help="Folder of the policy's latent action model.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the report and the pictures.")] = None,
    device: Device = None,
) -> "Report":
    """Hold plans of latent actions against what was recorded: vectors, codes, predicted pictures.

    Also for embodiments that training never saw, and with other words for the same pictures.
    """
    from pipelines.evaluation.planning import planning as pipeline
    from pipelines.evaluation.planning.config import PlanningConfig

    return pipeline.run(settings.fill(PlanningConfig, policy=policy, corpus=corpus, lam=lam, out=out, device=device))
