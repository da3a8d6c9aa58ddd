import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from dataengine.errors import DataEngineError
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from dataengine.windows import labels
from dataengine.windows.window import steps_per_latent
from models.weights import load_lam
from pipelines.corpus.health import CorpusConfig, info
from pipelines.label import LabelConfig, run
from tests.support.corpora import add_parts, human_clip, make_corpus, robot_episode, torn
from tests.support.labelled import labels_of, make_models, make_robots_and_hands
from tests.support.lams import video_of


def test_every_frame_has_what_encode_says_of_its_clip(tmp_path):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    report = run(LabelConfig(corpus=corpus.uri, lam=one))
    assert (report.episodes, report.without_camera, report.unreadable) == (6, 1, 0)
    lam, stored = load_lam(one), labels_of(corpus.uri, "one")
    assert set(stored) == {"0", "1", "2", "3", "wave", "flat"}
    distinct = set()
    for episode_id in corpus.episode_ids():
        episode = corpus.episode(episode_id)
        if not episode.cameras:
            continue
        latent, codes = stored[episode.column("source_record")]
        stride = steps_per_latent(episode.control_hz, lam.config.interval_s)
        video = video_of(episode.jpegs("primary"), lam.config.resolution)
        for phase in range(min(stride, len(video))):
            clip, rows = video[phase::stride], slice(phase, max(len(video) - stride, phase), stride)
            if len(clip) > 1:
                expected = lam.encode(clip)
                np.testing.assert_array_equal(codes[rows], expected.codes[0].numpy())
                np.testing.assert_array_equal(latent[rows], expected.quantized[0].numpy())
        tail = slice(max(len(video) - stride, 0), None)
        assert (codes[tail] == labels.NO_CODE).all()
        assert (latent[tail] == 0).all()
        distinct |= {tuple(row) for row in codes}
    assert len(distinct) > 10


def test_without_past_frames_a_label_follows_from_its_two_frames_alone(tmp_path):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    run(LabelConfig(corpus=corpus.uri, lam=one, name="both"))
    report = run(LabelConfig(corpus=corpus.uri, lam=one, name="alone", past_frames=False))
    assert "codes__alone, without past frames" in report.summary()
    lam, alone, both = load_lam(one), labels_of(corpus.uri, "alone"), labels_of(corpus.uri, "both")
    episode = corpus.episode(corpus.episode_ids()[0])
    record = episode.column("source_record")
    stride = steps_per_latent(episode.control_hz, lam.config.interval_s)
    video = video_of(episode.jpegs("primary"), lam.config.resolution)
    for row in range(len(video) - stride):
        expected = lam.encode(video[[row, row + stride]])
        np.testing.assert_array_equal(alone[record][1][row], expected.codes[0, 0].numpy())
    np.testing.assert_array_equal(alone[record][1][:stride], both[record][1][:stride])  # nothing came before
    assert (alone[record][1] != both[record][1]).any()
    assert [TableReader(Corpus.open(corpus.uri)).latent_info(name).past_frames for name in ("both", "alone")] == [1, 0]
    report = info(CorpusConfig(corpus=corpus.uri))
    assert "latent actions 'alone': 0.2 s, without past frames, camera primary" in report.summary()
    with pytest.raises(DataEngineError, match=r"codes__alone was read without past frames, asked for with past"):
        run(LabelConfig(corpus=corpus.uri, lam=one, name="alone"))


def test_the_training_reader_takes_them(tmp_path):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    report = run(LabelConfig(corpus=corpus.uri, lam=one, name="Base LAM"))
    reader = TableReader(Corpus.open(corpus.uri))
    info = reader.latent_info("base_lam")
    assert (info.fingerprint, info.k, info.d, info.interval_s) == (report.fingerprint, 4, 16, 0.2)
    for row, episode in enumerate(reader.episodes):
        latent, codes = reader.latent(row, "base_lam")
        assert latent.shape == (episode.num_steps, 4, 16)
        assert codes.dtype == np.int16


def test_episodes_that_curation_dropped_get_no_labels(tmp_path):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    corpus.ensure_columns(pa.schema([("keep", pa.bool_())]))
    rows = corpus.fragment_table(0, ["episode_id"])
    corpus.update_fragment(0, pa.table({"_rowid": rows["_rowid"], "keep": [True, False, True]}))
    run(LabelConfig(corpus=corpus.uri, lam=one))
    assert "1" not in labels_of(corpus.uri, "one")
    corpus.update_fragment(0, pa.table({"_rowid": rows["_rowid"][1:2], "keep": [True]}))
    report = run(LabelConfig(corpus=corpus.uri, lam=one))  # taken back by a milder recipe
    assert (report.episodes, report.already) == (1, 5)
    assert "1" in labels_of(corpus.uri, "one")


def test_killed_and_called_again_it_ends_in_the_same_labels(tmp_path, monkeypatch):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    run(LabelConfig(corpus=corpus.uri, lam=one, name="whole"))
    update, calls = Corpus.update_fragment, []

    def dies_at_the_second(self, fragment_id, values):
        calls.append(fragment_id)
        if len(calls) == 2:
            raise KeyboardInterrupt
        update(self, fragment_id, values)

    with monkeypatch.context() as patch:
        patch.setattr(Corpus, "update_fragment", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            run(LabelConfig(corpus=corpus.uri, lam=one, name="killed"))
    report = run(LabelConfig(corpus=corpus.uri, lam=one, name="killed"))
    assert (report.episodes, report.already) == (3, 3)
    whole, killed = labels_of(corpus.uri, "whole"), labels_of(corpus.uri, "killed")
    assert set(whole) == set(killed)
    for record in whole:
        np.testing.assert_array_equal(whole[record][1], killed[record][1])


def test_a_second_call_does_nothing_and_says_so(tmp_path):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    first = run(LabelConfig(corpus=corpus.uri, lam=one))
    version = Corpus.open(corpus.uri).version
    again = run(LabelConfig(corpus=corpus.uri, lam=one))
    assert (again.episodes, again.already, again.frames) == (0, 6, 0)
    assert "nothing to do: all 6 episodes are labelled" in again.summary()
    assert Corpus.open(corpus.uri).version == version
    assert again.usage == first.usage
    assert Corpus.open(corpus.uri).runs()["command"].to_pylist().count("label") == 1


def test_new_episodes_are_labelled_beside_the_old(tmp_path):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    run(LabelConfig(corpus=corpus.uri, lam=one))
    add_parts(corpus, {"late": [robot_episode("late")]})
    report = run(LabelConfig(corpus=corpus.uri, lam=one))
    assert (report.episodes, report.already) == (1, 6)
    assert len(labels_of(corpus.uri, "one")) == 7


def test_two_models_label_side_by_side_and_neither_overwrites_the_other(tmp_path):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, two = make_models(corpus, tmp_path)
    run(LabelConfig(corpus=corpus.uri, lam=one))
    before = labels_of(corpus.uri, "one")
    run(LabelConfig(corpus=corpus.uri, lam=two))
    with pytest.raises(DataEngineError, match=r"column codes__one was written by model .* give this model another"):
        run(LabelConfig(corpus=corpus.uri, lam=two, name="one"))
    after = labels_of(corpus.uri, "one")
    for record in before:
        np.testing.assert_array_equal(before[record][1], after[record][1])
    assert labels.label_names(Corpus.open(corpus.uri).schema) == ["one", "two"]


def test_labels_of_two_cameras_need_two_names(tmp_path):
    episode = robot_episode("0")
    both = dataclasses.replace(episode, cameras={**episode.cameras, "wrist": episode.cameras["primary"]})
    corpus = make_corpus(tmp_path / "corpus", {"a": [both]})
    one, _ = make_models(corpus, tmp_path)
    run(LabelConfig(corpus=corpus.uri, lam=one))
    with pytest.raises(DataEngineError, match="holds what camera 'primary' saw, asked for 'wrist'"):
        run(LabelConfig(corpus=corpus.uri, lam=one, slot="wrist"))
    assert run(LabelConfig(corpus=corpus.uri, lam=one, slot="wrist", name="seen_by_hand")).episodes == 1


def test_a_camera_that_nobody_has_is_refused_and_leaves_no_column(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")]})
    one, _ = make_models(corpus, tmp_path)
    for slot in ("wrist", "nose"):
        with pytest.raises(DataEngineError, match=f"no episode has a camera '{slot}'; cameras there: primary"):
            run(LabelConfig(corpus=corpus.uri, lam=one, slot=slot))
    assert labels.label_names(Corpus.open(corpus.uri).schema) == []


def test_the_report_counts_codes_by_dataset(tmp_path):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    add_parts(corpus, {"h": [human_clip("other", dataset="hands", num_steps=30)]})
    one, _ = make_models(corpus, tmp_path)
    report = run(LabelConfig(corpus=corpus.uri, lam=one))
    (hands,) = (u for u in report.usage if u.dataset == "hands")
    codes = labels_of(corpus.uri, "one")["other"][1]
    codes = codes[codes[:, 0] >= 0]
    assert hands.latents == len(codes) == 28
    assert hands.used == [len(set(slot)) for slot in codes.T.tolist()]
    _, counts = np.unique(codes, axis=0, return_counts=True)
    assert hands.commonest == pytest.approx(counts.max() / 28, abs=1e-4)
    share = np.unique(codes[:, 0], return_counts=True)[1] / 28
    assert hands.perplexity[0] == pytest.approx(np.exp(-(share * np.log(share)).sum()), abs=1e-3)


def test_a_broken_picture_leaves_its_frames_without_a_latent_action(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0"), torn(robot_episode("torn"), 10)]})
    one, _ = make_models(corpus, tmp_path)
    report = run(LabelConfig(corpus=corpus.uri, lam=one))
    assert report.unreadable == 3
    codes = labels_of(corpus.uri, "one")["torn"][1]
    assert set(np.flatnonzero(codes[:-2, 0] == labels.NO_CODE)) == {8, 10, 12}


def test_a_folder_without_a_model_is_refused(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")]})
    with pytest.raises(ValueError, match=r"no model_config.json"):
        run(LabelConfig(corpus=corpus.uri, lam=tmp_path / "nothing"))


def test_labels_of_another_spacing_need_another_name(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", {"a": [robot_episode("0")]})
    one, _ = make_models(corpus, tmp_path)
    run(LabelConfig(corpus=corpus.uri, lam=one))
    with pytest.raises(DataEngineError, match=r"spans 0.2 s, asked for 0.4 s; give another --name"):
        run(LabelConfig(corpus=corpus.uri, lam=one, interval_s=0.4))
    run(LabelConfig(corpus=corpus.uri, lam=one, interval_s=0.4, name="slow"))
    codes = labels_of(corpus.uri, "slow")["0"][1]
    assert (codes[-4:] == labels.NO_CODE).all()
    assert (codes[:-4] != labels.NO_CODE).all()


def test_another_precision_says_how_many_codes_it_changed(tmp_path):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    run(LabelConfig(corpus=corpus.uri, lam=one, name="exact"))
    report = run(LabelConfig(corpus=corpus.uri, lam=one, name="fast", precision="bf16"))
    exact, fast = labels_of(corpus.uri, "exact"), labels_of(corpus.uri, "fast")
    labelled = [record for record in exact if (exact[record][1] >= 0).any()]
    differ = sum(int((exact[r][1] != fast[r][1]).sum()) for r in labelled)
    assert report.codes_compared > 0
    assert 0 < differ < 0.2 * sum(exact[r][1].size for r in labelled)
    assert report.codes_differ > 0
    assert (
        f"bf16: {report.codes_differ / report.codes_compared:.2%} of {report.codes_compared} codes" in report.summary()
    )
    codebook = load_lam(one).vq.embedding.weight.detach().numpy()
    for record in labelled:  # what is written is a row of the codebook, exactly
        latent, codes = fast[record]
        rows = codes[:, 0] >= 0
        np.testing.assert_array_equal(latent[rows], codebook[codes[rows]])
    assert "in bf16" in info(CorpusConfig(corpus=corpus.uri)).summary()
    with pytest.raises(DataEngineError, match=r"codes__fast was computed in bf16, asked for fp32; give another --name"):
        run(LabelConfig(corpus=corpus.uri, lam=one, name="fast"))


def test_a_precision_that_the_device_lacks_is_refused(tmp_path):
    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    with pytest.raises(DataEngineError, match=r"precision is tf32, .* this model is on cpu; take fp32 or bf16"):
        run(LabelConfig(corpus=corpus.uri, lam=one, precision="tf32", device="cpu"))
    assert "codes__one" not in Corpus.open(corpus.uri).schema.names
