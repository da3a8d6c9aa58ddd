"""Who starts the processes of a training: this one and torchrun by themselves, or Ray Train."""

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.training.config import TrainConfig


def run(act: str, *args: Any) -> Any:
    """Call the act `module:function` of a training here, or in workers on a Ray cluster; return its report.

    Its settings are the last of `args`. Raise DataEngineError where the cluster cannot be reached or is too small.
    """
    config: TrainConfig = args[-1]
    if config.launcher == "local":
        return pkgutil.resolve_name(act)(*args)
    from pipelines.training.launch import on_ray  # ray takes seconds to import, and is for those who ask for it

    return on_ray.run(act, *args)
