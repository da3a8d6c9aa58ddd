"""`villa serve` says in one line why it cannot serve."""

import pytest

from tests.support.corpora import make_corpus, robot_episode
from tests.support.policies import save_policy

TOKEN = "a-token-of-some-length"


@pytest.fixture
def policy(tmp_path):
    return save_policy(tmp_path / "act")


@pytest.fixture
def refused(villa):
    def run(*argv):
        said = villa("serve", *argv)
        assert said.code == 2
        return said.err.splitlines()[-1]

    return run


def test_what_cannot_be_served_is_one_line(refused, policy, tmp_path, monkeypatch):
    monkeypatch.delenv("VILLA_SERVE_TOKEN", raising=False)
    assert "give a policy, or --replay" in refused()
    assert "no policy there" in refused(tmp_path, "--port", 0)
    assert "host 0.0.0.0 is open to other machines, and there is no token" in refused(policy, "--host", "0.0.0.0")
    assert "cannot be read" in refused(policy, "--token-file", tmp_path / "none")
    (tmp_path / "short").write_text("abc\n")
    assert "the token has 3 letters" in refused(policy, "--token-file", tmp_path / "short")
    assert "does not know embodiment 'drone'" in refused(policy, "--port", 0, "--embodiment", "drone")
    assert "action_steps is 9, a chunk of this policy has 4" in refused(policy, "--port", 0, "--action-steps", 9)
    assert "cannot listen on 192.0.2.1" in refused(policy, "--host", "192.0.2.1", "--token-file", _token(tmp_path))
    assert "keys names 'picture'" in refused(policy, "--set", "keys.picture=[a]")


def test_settings_that_would_do_nothing_are_refused(refused, tmp_path):
    planless = save_policy(tmp_path / "planless", use_latent=False)
    assert f"plans no latent actions for lam {planless} to decode" in refused(planless, "--port", 0, "--lam", planless)
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("a0", dataset="shelves", embodiment="arm")]})
    replay = ("--port", 0, "--replay", f"{corpus.uri}@{corpus.episode_ids()[0]}")
    assert "is of 'arm', found embodiment drone; leave it out" in refused(*replay, "--embodiment", "drone")
    assert "noise is normal, which is of policies; replay gives what was" in refused(*replay, "--noise", "normal")


def _token(folder):
    (folder / "token").write_text(TOKEN)
    return folder / "token"
