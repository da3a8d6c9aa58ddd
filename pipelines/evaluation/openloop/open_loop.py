"""`villa eval openloop`: how far predicted chunks lie from what was recorded, on episodes that training never saw.

It needs no simulator and says nothing about success: a policy that errs little may still fail, for nobody corrects it
here. It does tell whether a policy learnt anything: what errs more than the mean action, or holding still, did not.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from dataengine import progress, texts
from dataengine.errors import DataEngineError
from dataengine.report import Report
from dataengine.whole_file import write_whole
from dataengine.windows.episode_info import EpisodeInfo, is_held_out
from dataengine.windows.window import EpisodeReader
from pipelines.evaluation.held_out import held_out_by
from pipelines.evaluation.openloop.config import OpenLoopConfig
from pipelines.evaluation.openloop.errors import NAMES, Chunk, Errors, errors_of
from pipelines.evaluation.openloop.picture import draw
from pipelines.evaluation.pictures import decoded
from pipelines.output.folder import claimed, sources_at
from pipelines.output.text_table import text_table
from pipelines.training.act.stated import stated

if TYPE_CHECKING:
    from pipelines.evaluation.policy import ActPolicy

REPORT, PICTURE = "openloop.json", "openloop.png"


class OpenLoopReport(Report):
    """Errors of each robot in each dataset, over all and for each task."""

    policy: str
    corpus: str
    groups: list[Errors]
    tasks: list[Errors]
    out: str
    picture: str

    def summary(self) -> str:
        """Print normalised errors of groups and tasks, and those of values of each group in their units."""
        head = ["dataset", "robot", "task", "chunks", *NAMES]
        rows: list[list[object]] = [
            [one.dataset, one.embodiment, one.task or "all", one.chunks, *(f"{one.normalised[n]:.3f}" for n in NAMES)]
            for one in (*self.groups, *self.tasks)
        ]
        lines = ["mean absolute error, normalised (mean: always the mean action, hold: standing still)"]
        lines.append(text_table(head, rows))
        for one in self.groups:
            values = [
                [name, unit, *(f"{one.by_value[n][i]:.4g}" for n in NAMES)]
                for i, (name, unit) in enumerate(zip(one.names, one.units, strict=True))
            ]
            lines += ["", f"{one.embodiment} in {one.dataset}", text_table(["value", "unit", *NAMES], values)]
            if one.normalised["policy"] >= min(one.normalised["mean"], one.normalised["hold"]):
                lines.append("the policy errs no less than one that looks at nothing")
        return "\n".join([*lines, "", f"report: {self.out}/{REPORT}, picture: {self.picture}"])


def run(config: OpenLoopConfig) -> OpenLoopReport:
    """Predict chunks of held-out episodes and measure them."""
    from pipelines.evaluation.policy import ActPolicy
    from pipelines.training.data import open_reader

    policy, reader = ActPolicy.load(config.policy, config.device), open_reader(config.corpus)
    chosen = _episodes(config, reader, policy)
    groups, by_task = list[Errors](), list[Errors]()
    with progress.task("open loop", len(chosen), "groups") as live:
        for (embodiment, dataset), episodes in sorted(chosen.items()):
            acting = replace(policy, dataset=dataset)
            chunks = list(_chunks(config, reader, acting, episodes))
            if chunks:
                body = (embodiment, dataset)
                groups.append(errors_of(chunks, policy.normalizer, body))
                named = sorted({one.task for one in chunks})
                by_task += [
                    errors_of([one for one in chunks if one.task == task], policy.normalizer, body, task)
                    for task in named
                    if len(named) > 1
                ]
            live.advance(1, note=f"{embodiment} in {dataset}")
    if not groups:
        raise DataEngineError(f"{config.corpus}: held-out episodes are too short, expected two steps or more")
    with claimed(config.out, "eval openloop", sources=sources_at(config.corpus)) as out:
        out.claim(REPORT, PICTURE)
        report = OpenLoopReport(
            policy=config.policy,
            corpus=config.corpus,
            groups=groups,
            tasks=by_task,
            out=str(config.out),
            picture=str(config.out / PICTURE),
        )
        write_whole(Path(config.out) / REPORT, report.model_dump_json(indent=2))
        draw(groups, Path(config.out) / PICTURE)
    return report


def _episodes(
    config: OpenLoopConfig, reader: EpisodeReader, policy: "ActPolicy"
) -> dict[tuple[str, str], list[EpisodeInfo]]:
    """Choose held-out episodes by robot and dataset; raise DataEngineError where there are none."""
    robots = [e for e in reader.episodes if e.kind == "robot" and (not config.datasets or e.dataset in config.datasets)]
    known = [e for e in robots if e.embodiment in policy.bodies]
    if not known:
        robots_here = ", ".join(sorted({e.embodiment for e in robots})) or "no robots"
        raise DataEngineError(
            f"{config.corpus}: has {robots_here}, and {config.policy} was trained on {', '.join(policy.bodies)}; "
            f"give a corpus of one of these"
        )
    held_out = held_out_by(stated(config.policy)[1], config.val_fraction)
    chosen = defaultdict[tuple[str, str], list[EpisodeInfo]](list)
    for episode in known:
        if is_held_out(episode, held_out):
            chosen[episode.embodiment, episode.dataset].append(episode)
    if not chosen:
        raise DataEngineError(
            f"{config.corpus}: holds out none of {len(known)} episodes at val_fraction {held_out:g}; give "
            f"--val-fraction, 1 to take them all"
        )
    return chosen


def _chunks(
    config: OpenLoopConfig, reader: EpisodeReader, policy: "ActPolicy", episodes: Sequence[EpisodeInfo]
) -> Iterator[Chunk]:
    """Predict from steps that are spread over episodes."""
    random = np.random.default_rng(config.seed)
    long = [episode for episode in episodes if episode.num_steps > 1]
    starts = [
        (episode, int(random.integers(1, episode.num_steps)))
        for episode in long * -(-config.windows // max(1, len(long)))
    ]
    starts = sorted(starts[: config.windows], key=lambda start: (start[0].row, start[1]))
    for first in range(0, len(starts), config.batch):
        batch = starts[first : first + config.batch]
        seen = [_observation(reader, episode, step, policy) for episode, step in batch]
        said = [texts.said_at(episode.texts, step) for episode, step in batch]
        predicted = policy.act_batch(seen, said)
        for (episode, step), text, chunk in zip(batch, said, predicted, strict=True):
            actions = reader.action(episode.row)
            if actions is not None:
                yield Chunk(text, chunk, actions[step : step + len(chunk)], actions[step - 1])


def _observation(reader: EpisodeReader, episode: EpisodeInfo, step: int, policy: "ActPolicy") -> Any:
    """Take what the robot saw and felt at a step."""
    state = reader.state(episode.row)
    wanted = {"wrist", *policy.model.config.more_cameras} if policy.model.config.wrist else set()
    slots = dict.fromkeys(("wrist", *policy.model.config.more_cameras))
    pictures = {slot: decoded(reader, episode, slot, [step])[0] for slot in wanted & set(episode.cameras)}
    return SimpleNamespace(
        embodiment=episode.embodiment,
        image=decoded(reader, episode, "primary", [step])[0],
        state=np.zeros(0, np.float32) if state is None else state[step],
        **{**slots, **pictures},
    )
