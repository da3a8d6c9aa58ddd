"""The robots of some data as a policy must know them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from dataengine.windows.window import EpisodeInfo, WindowSpec, steps_per_latent


def bodies(train: Sequence[EpisodeInfo], spec: WindowSpec) -> dict[str, dict[str, Any]]:
    """Describe each robot by name, as a policy must know it: ids, rate and spacing in each of its datasets.

    `dataset` names the one that it is in most, and the same facts stand beside it.
    """
    facts_by_name: dict[str, dict[str, Any]] = {}
    for name in sorted({e.embodiment for e in train if e.kind == "robot"}):
        mine = [e for e in train if e.embodiment == name]
        datasets: dict[str, dict[str, Any]] = {}
        for dataset in sorted({e.dataset for e in mine}):
            there = [e for e in mine if e.dataset == dataset]
            rates = Counter[float]()
            for e in there:
                rates[e.control_hz] += e.num_steps
            hz = max(rates, key=lambda hz: (rates[hz], -hz))
            datasets[dataset] = {
                "dataset_id": there[0].dataset_id,
                "control_hz": hz,
                "steps_per_latent": steps_per_latent(hz, spec.interval_s),
                "steps": sum(rates.values()),
            }
        most = max(datasets, key=lambda dataset: (datasets[dataset]["steps"], -datasets[dataset]["dataset_id"]))
        facts = {"embodiment_id": mine[0].embodiment_id, "dataset": most, **datasets[most]}
        facts_by_name[name] = {**facts, "datasets": datasets}
    return facts_by_name
