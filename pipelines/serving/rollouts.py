"""Writes episodes that were played in a simulator as a LeRobot dataset, which `villa ingest lerobot` reads.

Column `next.success` is true where a step's action solved the task. `meta/rollouts.jsonl` says of each episode what no
dataset has a word for: its task, the seed of its start, and who played it.
"""

import json
from pathlib import Path

from dataengine.errors import DataEngineError
from dataengine.whole_file import write_whole
from pipelines.evaluation.calibrate.demos import ROLLOUTS
from pipelines.evaluation.config import EvalConfig
from pipelines.evaluation.rollouts import facts_of, read_all
from pipelines.evaluation.simulators._base import default_tasks, simulator_class
from pipelines.evaluation.unit import make_unit
from pipelines.serving.observation import Request
from pipelines.serving.record import LerobotRecorder
from pipelines.serving.service import Session


def check(config: EvalConfig) -> None:
    """Raise DataEngineError, before anything is played, where the dataset cannot be written."""
    out = config.record
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataEngineError(f"--record {out}: is there already, expected a new or empty folder")


def write(config: EvalConfig) -> int:
    """Write the dataset of an evaluation to `record`; return how many episodes it has."""
    assert config.record is not None, "asked for by the command"
    units = [make_unit(config, task) for task in config.tasks or default_tasks(simulator_class(config.simulator))]
    recorder: LerobotRecorder | None = None
    lines: list[dict[str, object]] = []
    for one in read_all(config.out, [unit.journal.path.stem for unit in units], [*units[0].seeds]):
        if recorder is None:
            recorder = LerobotRecorder(config.record, facts_of(config.simulator, one))
        session = Session(len(lines))
        for i, action in enumerate(one.action):
            wrist = None if one.wrist is None else one.wrist[i]
            request = Request(
                image=one.image[i],
                wrist=wrist,
                state=one.state[i],
                embodiment=simulator_class(config.simulator).embodiment,
                instruction=one.instruction,
            )
            recorder.add(session, request, action[None])
        recorder.end(session, success=one.success)
        facts = {"task": one.task, "seed": one.seed, "success": one.success, "steps": len(one.action)}
        lines.append({"episode_index": len(lines), **facts, "policy": one.policy, "simulator": one.simulator})
        write_whole(Path(config.record) / ROLLOUTS, "".join(f"{json.dumps(line)}\n" for line in lines))
    return len(lines)
