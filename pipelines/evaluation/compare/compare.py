"""`villa eval compare`: which of two policies is better, from the same starts, with no more episodes than it takes.

Starts are shuffled over tasks, and all policies play them in this order; after each one it is asked whether it is
decided. The plan is written down before the first episode: who looks at results first and then chooses a level or an
order finds what he likes. An episode that the simulator lost counts for nobody.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from dataengine import progress
from dataengine.errors import DataEngineError
from dataengine.whole_file import write_whole
from pipelines.evaluation.compare import picture
from pipelines.evaluation.compare.arena import Arena, Share
from pipelines.evaluation.compare.config import CompareConfig
from pipelines.evaluation.compare.in_process import InProcess
from pipelines.evaluation.compare.pairs import Start, common, is_finished, read_finished, shuffled
from pipelines.evaluation.compare.report import CompareReport, adjusted, compared
from pipelines.evaluation.compare.statistics import Sequential
from pipelines.evaluation.libero_rules import LIBERO
from pipelines.output.folder import claimed, sources_at

PLAN, REPORT, PICTURE = "plan.json", "comparison.json", "evidence.png"


class Study:
    """Outcomes of pairs in their order, and what they decide."""

    def __init__(self, config: CompareConfig, names: Sequence[str], order: Sequence[Start]) -> None:
        self._config, self._names, self._order = config, names, order
        family = len(names) - 1
        self._whole = [self._sequential(family) for _ in names[1:]]
        tasks = sorted({start.task for start in order})
        self._by_task = [{task: self._sequential(1) for task in tasks} for _ in names[1:]]
        self._next = [0] * family
        self.lost: list[str] = []

    def _sequential(self, family: int) -> Sequential:
        return Sequential(self._config.level, self._config.min_difference, family)

    def undecided(self) -> set[int]:
        """Name the policies, by index, that still need to play; the first as long as any other does."""
        open_ones = {i + 1 for i, one in enumerate(self._whole) if not one.verdict}
        return open_ones | {0} if open_ones else set()

    def take(self, solved: Sequence[dict[Start, bool | None]], *, stops: bool) -> None:
        """Go on through the order as far as outcomes are there; None is an episode that was lost."""
        for i, whole in enumerate(self._whole):
            while self._next[i] < len(self._order) and not (stops and whole.verdict):
                start = self._order[self._next[i]]
                if start not in solved[0] or start not in solved[i + 1]:
                    break
                self._next[i] += 1
                a, b = solved[0][start], solved[i + 1][start]
                if a is None or b is None:
                    said = f"{start.task}, start {start.seed}"
                    self.lost += [said] if said not in self.lost else []
                    continue
                whole.add(a=a, b=b)
                self._by_task[i][start.task].add(a=a, b=b)

    def report(self, simulator: str, *, sequential: bool) -> CompareReport:
        """Put tables and verdicts together."""
        config = self._config
        comparisons = [
            compared(self._names[0], name, by_task, whole, sequential=sequential)
            for name, by_task, whole in zip(self._names[1:], self._by_task, self._whole, strict=True)
        ]
        return CompareReport(
            simulator=simulator,
            level=config.level,
            min_difference=config.min_difference,
            budget=config.budget,
            order_seed=config.order_seed,
            sequential=sequential,
            comparisons=adjusted(comparisons),
            lost=self.lost,
            out=str(config.out),
            picture=str(config.out / PICTURE),
        )


def run(config: CompareConfig, arena: Callable[[CompareConfig], Arena] = InProcess) -> CompareReport:
    """Compare finished evaluations, or play where `arena` says."""
    finished = [is_finished(policy) for policy in config.policies]
    if any(finished) and not all(finished):
        other = config.policies[finished.index(False)]
        raise DataEngineError(
            f"{other}: is no folder of results, and {config.policies[finished.index(True)]} is; compare results with "
            f"results, or policies with policies"
        )
    with claimed(config.out, "eval compare", sources=sources_at(config.demonstrations)) as out:
        out.claim(PLAN, REPORT, PICTURE, "episodes/", "videos/", "filmstrips/")
        report = _of_finished(config) if all(finished) else _of_played(config, arena(config))
        write_whole(config.out / REPORT, report.model_dump_json(indent=2))
        picture.draw(report, config.out / PICTURE)
        return report


def _of_finished(config: CompareConfig) -> CompareReport:
    """Compare what was evaluated before, on the starts that all have."""
    results = [read_finished(policy) for policy in config.policies]
    names = [one.name for one in results]
    if len(set(names)) < len(names):
        names = list(config.policies)
    study = Study(config, names, shuffled(common(results), config.order_seed))
    study.take([dict(one.solved) for one in results], stops=False)
    return study.report("finished evaluations", sequential=False)


def _of_played(config: CompareConfig, arena: Arena) -> CompareReport:
    """Play until it is decided, or the budget is used up."""
    _keep_plan(config, arena.fingerprints)
    order = arena.order()
    names = [Path(policy).name for policy in config.policies]
    names = list(config.policies) if len(set(names)) < len(names) else names
    study, solved = Study(config, names, order), arena.known()
    study.take(solved, stops=True)  # a comparison that was killed may be decided already
    with progress.task("compare", len(order) * len(solved), "episodes") as live:
        while playing := study.undecided():
            shares = list(_shares(order, config.pairs_per_look, solved, playing))
            if not shares:
                break
            with closing(arena.play(shares, live.advance)) as played:
                for player, outcomes in played:
                    solved[player] |= outcomes
                    study.take(solved, stops=True)
                    if study.undecided() != playing:
                        break
    return study.report(config.simulator, sequential=True).model_copy(update={"calibration": arena.calibration})


def _shares(
    order: Sequence[Start],
    pairs_per_look: int,
    solved: Sequence[Mapping[Start, bool | None]],
    playing: set[int],
) -> Iterator[Share]:
    """Cut the order into looks; in each, every policy that plays has a share of each task."""
    for at in range(0, len(order), pairs_per_look):
        look = order[at : at + pairs_per_look]
        for task in sorted({start.task for start in look}):
            for policy in sorted(playing):
                missing = tuple(start for start in look if start.task == task and start not in solved[policy])
                if missing:
                    yield Share(policy, missing)


def _keep_plan(config: CompareConfig, fingerprints: Sequence[str]) -> None:
    """Write down, before anything is played, what decides; raise DataEngineError where another plan was begun.

    A plan of which no episode was played has decided nothing: the command was refused, or ended, before.
    """
    without_say = {"out", "num_envs", "processes", "device", "num_videos", "step_timeout_s", "pairs_per_look"}
    without_say |= {"calibration", "uncalibrated", "accept"}
    without_say |= set() if config.simulator == LIBERO else {"libero"}
    facts = json.loads(config.model_dump_json(exclude=without_say))
    facts.get("libero", {}).pop("python", None)
    facts["fingerprints"] = list(fingerprints)
    path = config.out / PLAN
    if not path.exists() or not _has_episodes(config.out):
        write_whole(path, json.dumps(facts, indent=2))
        return
    kept = json.loads(path.read_text(encoding="utf-8"))
    if changed := sorted(key for key in facts.keys() | kept.keys() if facts.get(key) != kept.get(key)):
        raise DataEngineError(
            f"{config.out}: a comparison with another {changed[0]} was begun there ({kept.get(changed[0])}, now "
            f"{facts.get(changed[0])}); a plan that changes on the way decides nothing: give another --out"
        )


def _has_episodes(out: Path) -> bool:
    """Tell whether an episode of any policy is kept."""
    return any(file.suffix in (".json", ".jsonl") for file in out.glob("episodes/**/*"))
