"""The robots of some data as a policy must know them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from dataengine.windows.episode_info import EpisodeInfo
from dataengine.windows.episode_table import EpisodeTable
from dataengine.windows.window import WindowSpec, steps_per_latent


def bodies(train: Sequence[EpisodeInfo], spec: WindowSpec) -> dict[str, dict[str, Any]]:
    """Describe each robot by name, as a policy must know it: ids, rate and spacing in each of its datasets.

    `dataset` names the one that it is in most, and the same facts stand beside it.
    """
    facts_by_name: dict[str, dict[str, Any]] = {}
    setups = [(setup, steps) for setup, _, steps in EpisodeTable.of(train).by_setup()]
    for name in sorted({setup.embodiment for setup, _ in setups if setup.kind == "robot"}):
        mine = [(setup, steps) for setup, steps in setups if setup.embodiment == name]
        datasets: dict[str, dict[str, Any]] = {}
        for dataset in sorted({setup.dataset for setup, _ in mine}):
            there = [(setup, steps) for setup, steps in mine if setup.dataset == dataset]
            rates = Counter[float]()
            for setup, steps in there:
                rates[setup.control_hz] += steps
            hz = max(rates, key=lambda hz: (rates[hz], -hz))
            datasets[dataset] = {
                "dataset_id": there[0][0].dataset_id,
                "control_hz": hz,
                "steps_per_latent": steps_per_latent(hz, spec.interval_s),
                "steps": sum(rates.values()),
                "cameras": sorted({camera for setup, _ in there for camera in setup.cameras}),
            }
        most = max(datasets, key=lambda dataset: (datasets[dataset]["steps"], -datasets[dataset]["dataset_id"]))
        facts = {"embodiment_id": mine[0][0].embodiment_id, "dataset": most, **datasets[most]}
        facts_by_name[name] = {**facts, "datasets": datasets}
    return facts_by_name
