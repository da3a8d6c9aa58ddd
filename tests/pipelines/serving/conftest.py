import pytest

from tests.support.policies import save_policy
from tests.support.served import Server


@pytest.fixture(scope="session")
def policy(tmp_path_factory):
    return save_policy(tmp_path_factory.mktemp("serving") / "act")


@pytest.fixture(scope="session")
def server(policy):
    with Server(policy) as running:
        yield running
