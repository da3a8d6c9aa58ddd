"""What a policy expects of the robot of a simulator: of one in a folder, or behind an address."""

from pipelines.evaluation.contract import Expectation, expected_by, expected_by_server
from pipelines.evaluation.evaluate_as import dataset_of
from pipelines.evaluation.remote import is_server, metadata_of
from pipelines.evaluation.simulators._base import Simulator


def expectation(policy: str, simulator: type[Simulator], acts_as: str) -> Expectation:
    """Read it; `acts_as` names the dataset that the policy acts as in, empty for the one that suits the simulator."""
    if is_server(policy):
        return expected_by_server(policy, metadata_of(policy), simulator.embodiment)
    return expected_by(policy, simulator.embodiment, dataset_of(policy, simulator, acts_as))
