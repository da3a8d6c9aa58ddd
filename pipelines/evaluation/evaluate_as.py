"""Which of a robot's datasets a policy acts as in when it is evaluated: their scales, controllers and rates differ."""

import sys

from dataengine.errors import DataEngineError
from pipelines.evaluation.simulators._base import Simulator
from pipelines.training.act.stated import stated


def dataset_of(policy: str, simulator: type[Simulator], wanted: str) -> str:
    """Name the dataset: the one that is wanted, else that of the simulator's recordings, else the robot's commonest.

    Say on stderr where it is not what the simulator recorded. Raise DataEngineError for a robot that the policy does
    not know, or a wanted dataset that it was not trained on.
    """
    name, stated_bodies = simulator.embodiment, stated(policy)[1]["bodies"]
    embodiments = stated_bodies if isinstance(stated_bodies, dict) else {}
    about = embodiments.get(name)
    if not isinstance(about, dict):
        raise DataEngineError(
            f"{policy}: does not know embodiment '{name}', it was trained on {', '.join(embodiments) or 'none'}; "
            f"train one on data of this robot"
        )
    datasets = known if isinstance(known := about.get("datasets"), dict) else {}
    if wanted and wanted not in datasets:
        names = ", ".join(datasets) or "datasets that it cannot tell apart"
        raise DataEngineError(f"{policy}: was not trained on {name} in '{wanted}', but in {names}; name one of them")
    usual = simulator.source if simulator.source in datasets else str(about.get("dataset", ""))
    chosen = wanted or usual
    if chosen and chosen not in (wanted, simulator.source):
        more = f"; --acts-as names another of {', '.join(datasets)}" if len(datasets) > 1 else ""
        _tell(
            f"the policy never saw {name} in {simulator.source}: it acts as in {chosen}, its controller and scale{more}"
        )
    return chosen


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201
