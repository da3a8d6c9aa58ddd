"""Makes what decides in an episode: a baseline, or a policy that is read from its folder."""

from functools import cache, partial
from typing import TYPE_CHECKING

from dataengine.errors import DataEngineError
from pipelines.evaluation.chunks import Chunks
from pipelines.evaluation.demonstrations import demonstrations
from pipelines.evaluation.remote import RemoteActor, is_server
from pipelines.evaluation.simulators import _play
from pipelines.evaluation.simulators._base import simulator_class
from pipelines.evaluation.unit import Unit

if TYPE_CHECKING:
    from pipelines.evaluation.policy import ActPolicy


def make_actor(unit: Unit) -> _play.Actor:
    """Make it, for one task."""
    kind = simulator_class(unit.simulator)
    instruction = unit.instruction
    if unit.policy == "random":
        return _play.Random()
    if unit.policy == "expert":
        return _play.Expert()
    if unit.policy == "replay":
        return _play.Replay(demonstrations(unit.demonstrations, unit.acts_as or kind.source, instruction))
    if is_server(unit.policy):
        if unit.decay is not None or unit.inference_delay:
            raise DataEngineError("latency and ensembling are of policies that play in process, not of a server")
        return RemoteActor(unit.policy, instruction)
    policy = _policy(unit)
    horizon = policy.model.config.horizon
    if unit.inference_delay and unit.execute + unit.inference_delay > horizon:
        raise DataEngineError(
            f"action_steps {unit.execute} and inference_delay {unit.inference_delay} need chunks of as many actions "
            f"together, this policy's have {horizon}"
        )
    if unit.decay is None and not unit.inference_delay:
        return _play.Learned(policy, instruction)
    make = partial(Chunks, unit.execute, unit.decay, unit.inference_delay)
    return _play.InRealTime(policy, instruction, make, unit.execute, unit.guidance_beta)


def _policy(unit: Unit) -> "ActPolicy":
    """Read a policy, once in each process whatever it plays."""
    dataset = unit.acts_as or simulator_class(unit.simulator).source
    return _read(unit.policy, unit.fingerprint, unit.device, dataset, unit.noise, unit.num_euler_steps)


@cache
def _read(
    folder: str, _fingerprint: str, device: str | None, dataset: str, noise: str, num_euler_steps: int
) -> "ActPolicy":
    import torch

    from pipelines.evaluation.policy import ActPolicy

    torch.set_num_threads(1)
    return ActPolicy.load(
        folder,
        device,
        dataset=dataset,
        noise="normal" if noise == "normal" else "zero",
        num_euler_steps=num_euler_steps or None,
    )
