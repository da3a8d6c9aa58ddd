"""Writes episodes that were played in a simulator as a LeRobot dataset, which `villa ingest lerobot` reads.

Column `next.success` is true where a step's action solved the task. `meta/rollouts.jsonl` says of each episode what no
dataset has a word for: its task, the seed of its start, and who played it. It is written last, so that a killed command
goes on behind the last episode that it lists.
"""

import json
from pathlib import Path
from typing import Any

from dataengine.errors import DataEngineError
from dataengine.whole_file import is_partial, write_whole
from pipelines.evaluation.calibrate.demos import ROLLOUTS
from pipelines.evaluation.rollouts import RecordedRollout, RolloutFiles, facts_of, read
from pipelines.output.folder import made
from pipelines.serving.observation import Request
from pipelines.serving.record import LerobotRecorder
from pipelines.serving.service import Session


def check(out: Path, played: RolloutFiles) -> None:
    """Raise DataEngineError, before anything is played, where the dataset cannot be written or gone on with."""
    if out.resolve() == played.out.resolve():
        raise DataEngineError(f"--record {out}: is the folder of results, too; give the dataset one of its own")
    _written(out, played)
    with made(out):
        pass  # what cannot be made is said now, and not when all is played


def write(out: Path, played: RolloutFiles) -> int:
    """Write what is missing of the dataset of an evaluation; return how many episodes it has."""
    lines = _written(out, played)
    known = {line["rollout"] for line in lines}
    recorder: LerobotRecorder | None = None
    for file in played.files:
        if file.name in known or not file.exists():
            continue
        one = read(file)
        if recorder is None:
            recorder = LerobotRecorder(out, facts_of(played.simulator, one), goes_on_behind=len(lines))
            write_whole(out / ROLLOUTS, _text(lines))
        _record(recorder, played, one, len(lines))
        facts = {"task": one.task, "seed": one.seed, "success": one.success, "steps": len(one.action)}
        about = {"policy": one.policy, "simulator": one.simulator, "rollout": file.name}
        lines.append({"episode_index": len(lines), **facts, **about})
        write_whole(out / ROLLOUTS, _text(lines))
    return len(lines)


def _written(out: Path, played: RolloutFiles) -> list[dict[str, Any]]:
    """List the episodes that a dataset has, none for a new one; raise DataEngineError where it is anything else."""
    if not out.exists() or (out.is_dir() and not any(f.is_file() and not is_partial(f.name) for f in out.rglob("*"))):
        return []
    names = {file.name for file in played.files}
    try:
        lines = [json.loads(line) for line in (out / ROLLOUTS).read_text(encoding="utf-8").splitlines()]
        is_ours = all(line["rollout"] in names and line["episode_index"] == i for i, line in enumerate(lines))
    except (OSError, ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise DataEngineError(
            f"--record {out}: is there already and no dataset of these tasks, starts and settings, expected a new or "
            f"empty folder"
        )
    return lines


def _text(lines: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def _record(recorder: LerobotRecorder, played: RolloutFiles, one: RecordedRollout, number: int) -> None:
    session = Session(number)
    for i, action in enumerate(one.action):
        request = Request(
            image=one.image[i],
            wrist=None if one.wrist is None else one.wrist[i],
            state=one.state[i],
            embodiment=played.simulator.embodiment,
            instruction=one.instruction,
        )
        recorder.add(session, request, action[None])
    recorder.end(session, success=one.success)
