"""Ids, fingerprints and draws are at rest in corpora, shards and checkpoints: their values never change."""

from pathlib import Path

import numpy as np

from dataengine.digest import hasher, hex_digest, number_of, share_of, stable_id
from dataengine.formats import files
from dataengine.store.snapshots import content_hash
from pipelines.training.augment import generator_of


def test_ids_are_what_they_have_always_been() -> None:
    assert stable_id() == "e4a6a0577479b2b4"
    assert stable_id("kitchen", "a/b") == "4a85aee19edd644b"
    assert stable_id("caf\udce9") == "10b08566c680d67a"  # half of a letter, as JSON may hold it
    assert stable_id("", "") == "f638d19843e7c9f9"


def test_shares_are_what_they_have_always_been() -> None:
    assert share_of("fraction", "kitchen/0") == 0.03839863756674815
    assert share_of("", "") == 0.9757370510131452


def test_fingerprints_of_files_are_what_they_have_always_been(tmp_path: Path) -> None:
    large, empty, missing = (tmp_path / name for name in ("a.bin", "b", "c"))
    large.write_bytes(bytes(range(256)) * 600)
    empty.write_bytes(b"")
    assert files.fingerprint(large) == "a4516903a899b79c99ce714960ed2059"
    assert files.fingerprint(empty) == "1240a4684403b160e6597a653a88f56c"
    assert files.fingerprint_of_sizes([large, empty, missing], "x") == "e31d211e4cbf34c6eef7b8828c5fcb9d"


def test_content_hashes_and_seeds_are_what_they_have_always_been() -> None:
    assert content_hash(["b", "a"]) == "0c84cf75ee142f818515ab54bd107d86"
    assert generator_of(3, 14).initial_seed() == 62812327769121682


def test_a_hash_does_not_depend_on_how_its_data_is_cut() -> None:
    begun = hasher("kit", 16)
    begun.update(b"chen")
    assert begun.hexdigest() == hex_digest(b"kitchen", 16) == hex_digest("kitchen", 16)
    assert number_of("kitchen", 7) < 256**7


def test_shares_are_even() -> None:
    shares = np.array([share_of("held out", str(i)) for i in range(4000)])
    assert abs(np.quantile(shares, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.03
