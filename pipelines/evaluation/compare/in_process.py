"""Comparisons in simulators of this environment."""

from collections.abc import Callable, Generator, Sequence

from pipelines.device import pick_device
from pipelines.evaluation.compare.arena import Share
from pipelines.evaluation.compare.config import CompareConfig
from pipelines.evaluation.compare.pairs import Start, planned
from pipelines.evaluation.config import BASELINES
from pipelines.evaluation.episodes import Outcome
from pipelines.evaluation.evaluate import fitting_dataset, require_calibration
from pipelines.evaluation.playing import Job, play_all
from pipelines.evaluation.remote import is_server
from pipelines.evaluation.simulators._base import EVAL_SEEDS_FROM, default_tasks, simulator_class
from pipelines.evaluation.unit import make_unit


class InProcess:
    """Worker processes that hold a simulator and a policy each."""

    def __init__(self, config: CompareConfig) -> None:
        self._config = config
        self._tasks = config.tasks or default_tasks(simulator_class(config.simulator))
        self._units = [
            {task: make_unit(config.play(policy, i), task) for task in self._tasks}
            for i, policy in enumerate(config.policies)
        ]
        for policy in config.policies:
            if policy not in BASELINES:
                if not is_server(policy):
                    pick_device(config.device)
                fitting_dataset(config, policy)
        self.calibration = require_calibration(config)
        self.fingerprints: Sequence[str] = [next(iter(by_task.values())).fingerprint for by_task in self._units]

    def order(self) -> list[Start]:
        """List the starts in the order in which they are compared."""
        config = self._config
        return planned(self._tasks, config.budget, EVAL_SEEDS_FROM + config.seed_offset, config.order_seed)

    def known(self) -> list[dict[Start, bool | None]]:
        """Give what the journals hold."""
        solved = [dict[Start, bool | None]() for _ in self._units]
        for mine, by_task in zip(solved, self._units, strict=True):
            for task, unit in by_task.items():
                mine |= _solved(task, [*unit.journal.read().values()])
        return solved

    def play(
        self, shares: Sequence[Share], counted: Callable[[int], None]
    ) -> Generator[tuple[int, dict[Start, bool | None]], None, None]:
        """Yield (index of the policy, outcomes) as shares end."""
        jobs = [
            Job(self._units[share.player][share.starts[0].task], tuple(start.seed for start in share.starts))
            for share in shares
        ]
        for index, outcomes in play_all(jobs, self._config.processes, counted):
            yield shares[index].player, _solved(jobs[index].unit.task, outcomes)


def _solved(task: str, outcomes: Sequence[Outcome]) -> dict[Start, bool | None]:
    return {Start(task, one.seed): None if one.lost else one.success for one in outcomes}
