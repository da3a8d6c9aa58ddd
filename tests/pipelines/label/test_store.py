"""Labels of a corpus in an object store that often, or for a while always, answers 503."""

from pathlib import Path

import numpy as np
import pytest

from cli.contract import perform
from models.lam import Lam
from pipelines.label import LabelConfig, run
from tests.support.flaky_store import flaky_store
from tests.support.labelled import labels_of, make_models, make_robots_and_hands
from tests.support.object_store import as_s3

URI = "s3://data/corpus"


@pytest.mark.long
def test_a_store_that_answers_503_costs_time_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import boto3

    corpus = make_robots_and_hands(tmp_path / "corpus")
    one, _ = make_models(corpus, tmp_path)
    encode, batches = Lam.encode_embedded, []

    def encode_and_lose_the_store(*args, **kwargs):
        batches.append(args)
        faults.share_503 = 1.0 if len(batches) == 2 else faults.share_503
        return encode(*args, **kwargs)

    with flaky_store() as (address, faults), as_s3(address):
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        for file in filter(Path.is_file, Path(corpus.uri).rglob("*")):
            client.put_object(Bucket="data", Key=f"corpus/{file.relative_to(corpus.uri)}", Body=file.read_bytes())
        config = LabelConfig(corpus=URI, lam=one)
        with monkeypatch.context() as patch:
            patch.setattr(Lam, "encode_embedded", encode_and_lose_the_store)
            assert perform("label", lambda: run(config), as_json=False, debug=False) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("villa label: the object store does not answer now (")
        assert last.endswith("; the same command continues")
        faults.share_503 = 0.3
        assert run(config).episodes == 6
        assert faults.num_failed > 10
        faults.share_503 = 0.0
        stored = labels_of(URI, "one")
    run(LabelConfig(corpus=corpus.uri, lam=one))
    expected = labels_of(corpus.uri, "one")
    assert stored.keys() == expected.keys()
    for record, arrays in expected.items():
        for ours, theirs in zip(stored[record], arrays, strict=True):
            np.testing.assert_array_equal(ours, theirs)
