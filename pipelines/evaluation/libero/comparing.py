"""Comparisons in LIBERO: each policy behind a server of its own, the same starts for all."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from dataengine.errors import DataEngineError
from pipelines.evaluation.compare import compare
from pipelines.evaluation.compare.arena import Share
from pipelines.evaluation.compare.config import CompareConfig
from pipelines.evaluation.compare.pairs import Start, planned
from pipelines.evaluation.compare.report import CompareReport
from pipelines.evaluation.libero.arms import Arm, Played, arms, check_policy
from pipelines.evaluation.libero.calibrate import required_status
from pipelines.evaluation.libero.config import DEFAULT_SUITE, MAX_STEPS, NUM_OFFICIAL, LiberoConfig, num_tasks
from pipelines.evaluation.libero.contract import require_fit
from pipelines.evaluation.libero.environment import ask, find_python
from pipelines.evaluation.libero.playing import Episode, play_episodes
from pipelines.evaluation.remote import is_server


def run(config: CompareConfig) -> CompareReport:
    """Compare policies in LIBERO."""
    return compare.run(config, LiberoArena)


class LiberoArena:
    """Simulators in LIBERO's environment, which take the next starts that lie in the scene they have."""

    def __init__(self, config: CompareConfig) -> None:
        self._config = config
        self._suite, self._tasks = _tasks(config.tasks)
        self._python = find_python(config.libero.python)
        most = NUM_OFFICIAL * len(self._tasks) - config.seed_offset
        if config.libero.init_set == "official" and config.budget > most:
            raise DataEngineError(
                f"budget is {config.budget}, {len(self._tasks)} tasks have {most} official starts from number "
                f"{config.seed_offset} on; give --budget {most}, or --set libero.init_set=random"
            )
        configs = [self._play_config(policy, i) for i, policy in enumerate(config.policies)]
        for one in configs:
            check_policy(one)
        versions = ask(self._python, "versions")
        self.calibration = required_status(config.calibration, versions, uncalibrated=config.uncalibrated)
        self._arms = [arms(one, versions)[0] for one in configs]
        self.fingerprints: Sequence[str] = [arm.stem for arm in self._arms]
        self._unseen = set(range(len(configs)))
        """Policies that were not yet held against what LIBERO shows."""
        for one in configs:
            require_fit(one, self._python, looks=False)

    def _play_config(self, policy: str, index: int) -> LiberoConfig:
        config = self._config
        return LiberoConfig(
            **config.libero.model_dump(),
            policy="" if is_server(policy) else policy,
            server=policy if is_server(policy) else "",
            suite=self._suite,
            tasks=tuple(self._tasks.values()),
            episodes=1,
            workers=config.processes,
            num_filmstrips=config.num_videos,
            hang_s=config.step_timeout_s,
            out=config.out,
            name=f"{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[index % 26]} {Path(policy).name}",
            acts_as=config.acts_as,
            accept=config.accept,
            device=config.device,
        )

    def order(self) -> list[Start]:
        """List the starts in the order in which they are compared."""
        config = self._config
        return planned([*self._tasks], config.budget, config.seed_offset, config.order_seed)

    def known(self) -> list[dict[Start, bool | None]]:
        """Give what is kept; what was lost to the simulator is played again."""
        order = self.order()
        return [
            {s: one.success for s in order if (one := arm.read(self._tasks[s.task], s.seed)) is not None}
            for arm in self._arms
        ]

    def play(
        self, shares: Sequence[Share], counted: Callable[[int], None]
    ) -> Generator[tuple[int, dict[Start, bool | None]], None, None]:
        """Yield (index of the policy, outcome) as episodes end."""
        for i in sorted(self._unseen & {share.player for share in shares}):
            require_fit(self._arms[i].config, self._python, looks=True)
            self._unseen.discard(i)
        starts = [(share.player, start) for share in shares for start in share.starts]
        wanted: list[Episode] = [(self._arms[i], self._tasks[start.task], start.seed) for i, start in starts]
        names = {number: title for title, number in self._tasks.items()}
        ahead = self._config.pairs_per_look * len(self._arms)
        for (arm, task, number), played in play_episodes(wanted, self._python, ahead=ahead):
            counted(1)
            yield self._index(arm), {Start(names[task], number): _solved(played)}

    def _index(self, arm: Arm) -> int:
        return next(i for i, one in enumerate(self._arms) if one is arm)


def _solved(played: Played) -> bool | None:
    return None if played.lost else played.success


def _tasks(wanted: Sequence[str] | None) -> tuple[str, dict[str, int]]:
    """Read `libero_object`, all tasks of a suite, and `libero_object/3`; give the suite, and numbers by title."""
    chosen = list(wanted or (DEFAULT_SUITE,))
    suites = {one.partition("/")[0] for one in chosen}
    suite = suites.pop()
    if suites or suite not in MAX_STEPS:
        raise DataEngineError(
            f"tasks are {', '.join(chosen)}, expected those of one suite: {', '.join(MAX_STEPS)}, or a task of it as "
            f"libero_object/3"
        )
    numbers = list[int]()
    for one in chosen:
        _, slash, number = one.partition("/")
        if slash and not (number.isdigit() and int(number) < num_tasks(suite)):
            raise DataEngineError(f"{suite} has no task '{number}', expected 0 to {num_tasks(suite) - 1}")
        numbers += [int(number)] if slash else range(num_tasks(suite))
    return suite, {f"{suite}/{number:02d}": number for number in sorted(set(numbers))}
