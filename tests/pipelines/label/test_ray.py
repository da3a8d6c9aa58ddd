"""A pool of actors on a Ray cluster writes the labels that one process writes."""

import numpy as np
import pytest

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from pipelines.label import LabelConfig, run
from pipelines.label import work as label_work
from pipelines.label.work import Unlabelled, cut_work
from tests.support.fragile import Fragile
from tests.support.labelled import labels_of, make_models, make_robots_and_hands

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("ray_cluster")
def test_ray_and_local_write_the_same_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(label_work, "WORK_FRAMES", 32)
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    here = run(LabelConfig(corpus=corpus.uri, lam=one, name="here", device="cpu"))
    there = run(LabelConfig(corpus=corpus.uri, lam=one, name="there", device="cpu", engine="ray", workers=2))
    assert (here.episodes, here.frames, here.unreadable) == (there.episodes, there.frames, there.unreadable)
    local, ray = labels_of(corpus.uri, "here"), labels_of(corpus.uri, "there")
    assert set(local) == set(ray)
    for record in local:
        np.testing.assert_array_equal(local[record][0], ray[record][0])
        np.testing.assert_array_equal(local[record][1], ray[record][1])
    again = run(LabelConfig(corpus=corpus.uri, lam=one, name="there", device="cpu", engine="ray"))
    assert (again.episodes, again.already) == (0, here.episodes)


@pytest.mark.usefixtures("ray_cluster")
def test_ray_finishes_what_local_began(tmp_path, monkeypatch):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    update, calls = Corpus.update_fragment, []

    def dies_at_the_second(self, fragment_id, values):
        calls.append(fragment_id)
        if len(calls) == 2:
            raise KeyboardInterrupt
        update(self, fragment_id, values)

    with monkeypatch.context() as patch:
        patch.setattr(Corpus, "update_fragment", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(LabelConfig(corpus=corpus.uri, lam=one, device="cpu"))
    report = run(LabelConfig(corpus=corpus.uri, lam=one, device="cpu", engine="ray", workers=1))
    assert (report.episodes, report.already) == (3, 3)


@pytest.mark.usefixtures("ray_cluster")
def test_an_actor_that_dies_costs_an_attempt_and_no_result(tmp_path):
    from dataengine.runners import ray

    results = dict(ray.run_actors(Fragile(tmp_path, 2), list(range(6)), workers=2))
    assert results == {i: i * i for i in range(6)}
    with pytest.raises(DataEngineError, match="an actor died, 3 times over the same work"):
        dict(ray.run_actors(Fragile(tmp_path, 9), [3], workers=1))


@pytest.mark.usefixtures("ray_cluster")
def test_an_actor_out_of_reach_or_a_lost_result_costs_an_attempt_and_no_result(tmp_path, monkeypatch):
    from ray.exceptions import ActorUnavailableError, ObjectLostError

    from dataengine.runners import ray

    get, errors = ray.ray.get, [ActorUnavailableError("no answer", None), ObjectLostError("00", "", "")]

    def lossy(ref):
        if errors:
            raise errors.pop()
        return get(ref)

    monkeypatch.setattr(ray.ray, "get", lossy)
    results = dict(ray.run_actors(Fragile(tmp_path, 0), list(range(4)), workers=2))
    assert results == {i: i * i for i in range(4)}


def test_fragments_are_cut_up_without_losing_an_episode():
    episodes = [
        Unlabelled(rowid=i, episode_id=str(i), num_steps=n, stride=1) for i, n in enumerate([5, 90, 5, 5, 200, 1])
    ]
    work = cut_work({7: episodes, 9: episodes[:1]}, num_frames=100)
    assert [w.fragment_id for w in work] == [7, 7, 7, 9]
    assert [e for w in work if w.fragment_id == 7 for e in w.episodes] == episodes
