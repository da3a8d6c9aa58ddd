"""`openx/auto`: an RLDS dataset that nobody knows, read by a mapping; through the command line as a user would."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from scipy.spatial.transform import Rotation

from cli.app import app
from cli.contract import invoke
from dataengine import catalog
from dataengine.camera_names import camera_title
from dataengine.episode import Episode, Reject
from dataengine.errors import SourceError
from dataengine.store import Corpus
from dataengine.vector_layout import layout_of
from tests.support.openx_writer import write_openx
from tests.support.rlds_writer import write

T = 7
RNG = np.random.default_rng(0)


def flat(colour: tuple[int, int, int]) -> np.ndarray:
    """Pictures that darken by 4 a step."""
    darker = np.arange(T, dtype=np.uint8)[:, None] * 4
    return np.broadcast_to((np.array(colour, np.uint8) - darker)[:, None, None], (T, 48, 64, 3)).copy()


def values(k: int) -> dict[str, Any]:
    """Numbers of episode k in units of every kind."""
    rng = np.random.default_rng(k)
    return {
        "observation": {
            "front": flat((200, 30, 90)),
            "hand": flat((90, 30, 200)),
            "proprio": np.column_stack(
                [rng.normal(size=(T, 3)) * 1000, Rotation.random(T, random_state=k).as_quat()]
            ).astype(np.float32),
            "jaw": rng.uniform(0, 80, (T, 1)).astype(np.float32),
            "wrench": rng.normal(size=(T, 6)).astype(np.float32),
        },
        "command": {
            "turn": rng.uniform(-40, 40, (T, 3)).astype(np.float32),
            "move": rng.normal(size=(T, 3)).astype(np.float32),
            "grip": np.array([0, 1, 0, 0, -1, 0, 0], np.float32),
        },
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    beside = [
        {"meta": {"won": k != 1, "task": f"shake hands {k}", "path": f"/data/{'success' if k else 'failure'}/{k}"}}
        for k in range(3)
    ]
    return write_openx(tmp_path_factory.mktemp("pantry"), "pantry", [values(k) for k in range(3)], episode=beside)


MAPPING = """\
name: pantry
embodiment: pantry_arm
control_hz: 12.5
licence: CC BY 4.0
cameras:
  primary: observation/front
  wrist: {key: observation/hand, bgr: true}
instruction: meta/task
state_encoding: eef_pose
state:
  - {key: observation/proprio, columns: 0:3, convert: millimetres}
  - {key: observation/proprio, columns: 3:7, convert: quaternion_xyzw}
  - {key: observation/jaw, scale: 0.0125, convert: gripper_01_closes}
action_encoding: eef_delta
action:
  - {key: command/move}
  - {key: command/turn, columns: [2, 1, 0], convert: degrees}
  - {key: command/grip, convert: gripper_moves}
raw_state: [observation/proprio, observation/jaw, observation/wrench]
first_step: 1
"""


def mapped(tmp_path: Path, text: str = MAPPING) -> str:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    return str(path)


def read_all(root: Path, mapping: str, **options: Any) -> list[Episode | Reject]:
    source = catalog.source("openx/auto")(str(root), mapping=mapping, **options)
    parts = source.parts()
    source = pickle.loads(pickle.dumps(source))  # as workers get it
    Path(mapping).unlink()
    return [outcome for part in parts for outcome in source.read(part)]


def test_features_become_what_the_mapping_says(root: Path, tmp_path: Path) -> None:
    episodes = {e.instruction[0]: e for e in read_all(root, mapped(tmp_path)) if isinstance(e, Episode)}
    assert len(episodes) == 3
    for k in range(3):
        episode, raw = episodes[f"shake hands {k}"], values(k)
        seen, command = raw["observation"], raw["command"]
        assert (episode.dataset, episode.embodiment, episode.licence) == ("openx/pantry", "pantry_arm", "CC BY 4.0")
        assert (episode.control_hz, episode.time_ns[1]) == (12.5, 80_000_000)
        assert (episode.state_encoding, episode.action_encoding) == ("eef_pose", "eef_delta")
        np.testing.assert_allclose(episode.state[:, :3], seen["proprio"][1:, :3] / 1000, atol=1e-6)
        turned = Rotation.from_quat(seen["proprio"][1:, 3:]).as_euler("xyz")
        np.testing.assert_allclose(episode.state[:, 3:6], turned, atol=1e-4)
        np.testing.assert_allclose(episode.state[:, 6], 1 - seen["jaw"][1:, 0] / 80, atol=1e-6)
        np.testing.assert_array_equal(episode.action[:, :3], command["move"][1:])
        np.testing.assert_allclose(episode.action[:, 3:6], np.radians(command["turn"][1:, ::-1]), atol=1e-6)
        assert episode.action[:, 6].tolist() == [0, 0, 0, 1, 1, 1]
        assert (episode.notes["state_grippers"], episode.notes["action_grippers"]) == ("6", "6")
        kept = np.column_stack([seen["proprio"], seen["jaw"], seen["wrench"]])[1:]
        np.testing.assert_array_equal(episode.raw_state, kept)
        plain = np.column_stack([command["move"], command["turn"], command["grip"]])[1:]
        np.testing.assert_array_equal(episode.raw_action, plain)
        for slot in ("primary", "wrist"):
            colours = [simplejpeg.decode_jpeg(jpeg)[20, 20].astype(int) for jpeg in episode.cameras[slot].jpegs]
            wanted = np.array([200, 30, 90]) - 4 * np.arange(1, T)[:, None]
            np.testing.assert_allclose(colours, wanted, atol=2)


def test_values_have_the_names_that_the_mapping_gives_and_others_those_of_the_layout(
    root: Path, tmp_path: Path
) -> None:
    named = MAPPING.replace("columns: 0:3,", "columns: 0:3, names: [tip.x, tip.y, 'tip.z, up'],").replace(
        "key: command/grip,", "key: command/grip, names: jaw,"
    )
    episode = next(e for e in read_all(root, mapped(tmp_path, named)) if isinstance(e, Episode))
    state, action = (
        layout_of(column, f"eef_{kind}", 7, episode.notes) for column, kind in (("state", "pose"), ("action", "delta"))
    )
    assert state.names == ("tip.x", "tip.y", "tip.z, up", "roll", "pitch", "yaw", "gripper")
    assert action.names == ("x", "y", "z", "roll", "pitch", "yaw", "jaw")
    assert (state.grippers, action.positions) == ((6,), ((0, 1, 2),))
    cameras = {slot: camera_title(slot, episode.notes) for slot in episode.cameras}
    assert cameras == {"primary": "front (primary)", "wrist": "hand (wrist)"}


@pytest.mark.parametrize(
    ("rule", "options", "num_kept"),
    [
        ("{key: meta/won, at_least: 1}", {}, 2),
        ("{key: meta/path, contains: SUCCESS}", {}, 2),
        ("{key: reward, at_least: 0.5}", {}, 3),
        ("{key: meta/won, at_least: 1}", {"keep_failures": True}, 3),
    ],
)
def test_failures_are_left_out_by_a_rule_and_kept_on_demand(
    root: Path, tmp_path: Path, rule: str, options: dict, num_kept: int
) -> None:
    outcomes = read_all(root, mapped(tmp_path, f"{MAPPING}success: {rule}\n"), **options)
    assert sum(isinstance(e, Episode) for e in outcomes) == num_kept
    assert {e.error for e in outcomes if isinstance(e, Reject)} <= {"FilteredRecordError"}


@pytest.mark.parametrize(
    ("axes", "convert"), [("zxy", "euler_zxy"), ("ZYX", "euler_ZYX"), ("xyz", "euler"), (None, "axis_angle")]
)
def test_rotations_are_turned_by_name(root: Path, tmp_path: Path, axes: str | None, convert: str) -> None:
    text = MAPPING.replace("columns: [2, 1, 0], convert: degrees", f"scale: 0.02, convert: {convert}")
    episodes = {e.instruction[0]: e for e in read_all(root, mapped(tmp_path, text))}
    angles = values(0)["command"]["turn"][1:] * 0.02
    rotation = Rotation.from_euler(axes, angles) if axes else Rotation.from_rotvec(angles)
    turned = Rotation.from_euler("xyz", episodes["shake hands 0"].action[:, 3:6])
    np.testing.assert_allclose(turned.as_matrix(), rotation.as_matrix(), atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("observation/front", "observation/frnt", "cameras.primary: .* no image 'observation/frnt'; did you mean 'obs"),
        ("observation/front", "observation/jaw", "'observation/jaw' is of kind number, expected image"),
        (
            "key: command/move",
            "key: action/move",
            "action\\[0\\]: .* no number 'action/move'; did you mean 'command/mo",
        ),
        ("meta/task", "meta/tusk", "instruction: .* no text 'meta/tusk'; did you mean 'meta/task'"),
        ("3:7", "3:8", "state\\[1\\]: 'observation/proprio' has no columns '3:8', only 7"),
        ("3:7", "4:7", "state\\[1\\]: quaternion_xyzw takes 4 columns, found 3"),
        ("3:7", "3:7, names: [a, b]", "state\\[1\\]: found 2 names of 3 values, expected one for each"),
        ("3:7", "three", 'state\\[1\\].columns: found \'three\', expected "0:3", "6" or a list'),
        ("millimetres", "milimetres", "state\\[0\\].convert: .* did you mean 'millimetres'"),
        ("control_hz: 12.5", "control_hz: FILL_IN", "control_hz still to fill in"),
        ("control_hz: 12.5", "control_hz: fast", "control_hz: found 'fast', expected a valid number"),
        ("control_hz: 12.5\n", "", "'control_hz' is missing"),
        ("first_step", "frist_step", "no setting 'frist_step'; did you mean 'first_step'"),
        ("primary:", "top:", "cameras.top.*expected 'primary', 'secondary', 'wrist' or 'wrist_2'"),
        ("eef_pose", "pose", "state_encoding: found 'pose', expected"),
        ("state_encoding: eef_pose\n", "", "state and state_encoding belong together"),
        ("name: pantry", "name: libero", "openx/libero has a source of its own"),
        ("name: pantry", "name: [pantry", "no valid YAML"),
        ("first_step: 1", "success: {key: meta/won}", "give one of at_least .* and contains"),
    ],
)
def test_a_wrong_mapping_is_refused_in_a_line_with_the_nearest(
    root: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in MAPPING
    with pytest.raises(SourceError, match=message) as raised:
        catalog.source("openx/auto")(str(root), mapping=mapped(tmp_path, MAPPING.replace(old, new))).parts()
    assert "\n" not in str(raised.value)


def test_another_mapping_is_another_fingerprint_and_a_comment_is_not(root: Path, tmp_path: Path) -> None:
    def fingerprints(text: str) -> list[str]:
        source = catalog.source("openx/auto")(str(root), mapping=mapped(tmp_path, text))
        return [part.fingerprint for part in source.parts()]

    first = fingerprints(MAPPING)
    assert fingerprints(f"# more words\n{MAPPING}") == first
    assert fingerprints(MAPPING.replace("0.0125", "0.0126")) != first


def test_the_command_line_proposes_then_ingests(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def villa(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        return invoke(app, [str(word) for word in argv]), *capsys.readouterr()

    corpus = tmp_path / "corpus"
    ingest = ("ingest", "openx/auto", root, "--corpus", corpus)
    code, out, err = villa(*ingest)
    assert (code, err.count("\n")) == (2, 1)
    assert "save the proposal" in err
    assert not corpus.exists()
    code, proposed, _ = villa("sources", "--propose", root)
    assert (code, proposed) == (0, out)
    assert json.loads(villa(*ingest, "--json")[1])["draft"] == out
    assert json.loads(villa("sources", "--propose", root, "--json")[1])["mapping"] == out

    draft = tmp_path / "draft.yaml"
    assert villa("sources", "--propose", root, "--out", draft)[0] == 0
    assert draft.read_text() == proposed
    code, _, err = villa("sources", "--propose", root, "--out", draft)
    assert (code, err) == (2, f"villa sources: {draft} is there already; choose another name, or remove it\n")
    code, _, err = villa(*ingest, "--mapping", draft)
    assert code == 2
    assert "control_hz, state_encoding" in err
    assert err.endswith("still to fill in; its comments say with what\n")

    code, out, _ = villa(*ingest, "--mapping", mapped(tmp_path), "--json")
    assert (code, json.loads(out)["episodes"]) == (0, 3)
    table = Corpus.open(str(corpus)).table(["dataset", "embodiment"]).to_pylist()
    assert table == [{"dataset": "openx/pantry", "embodiment": "pantry_arm"}] * 3
    code, out, _ = villa(*ingest, "--mapping", mapped(tmp_path), "--json")
    assert (code, json.loads(out)["skipped_parts"]) == (0, 1)
    code, out, _ = villa(*ingest, "--mapping", mapped(tmp_path, MAPPING.replace("12.5", "10")), "--json")
    assert len(json.loads(out)["changed_parts"]) == 1


def test_a_proposal_says_what_names_sizes_and_descriptions_say_and_becomes_a_mapping(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    f = tfds.features
    arm = "Consists of 3x EEF position,\n4x quaternion, 1x gripper"
    step = {
        "observation": {
            "views": {"gripper_cam": f.Image(shape=(32, 32, 3)), "side": f.Image(shape=(32, 48, 3))},
            "top": f.Image(shape=(64, 64, 3), doc="From above"),
            "top_depth": f.Image(shape=(64, 64, 1), dtype=np.uint16),
            "state": f.Tensor(shape=(8,), dtype=np.float32, doc=arm),
            "speed": f.Tensor(shape=(8,), dtype=np.float32),
        },
        "action": f.Tensor(shape=(7,), dtype=np.float32, doc="Delta of the end effector, gripper"),
        "language_instruction": f.Text(),
        "language_embedding": f.Tensor(shape=(512,), dtype=np.float32),
        "is_first": np.bool_,
    }
    pictures = {"gripper_cam": np.zeros((32, 32, 3), np.uint8), "side": np.full((32, 48, 3), 9, np.uint8)}
    seen = {
        "views": pictures,
        "top": np.full((64, 64, 3), 200, np.uint8),
        "top_depth": np.zeros((64, 64, 1), np.uint16),
        "state": np.array([1, 2, 3, 0, 0, 0, 1, 0.25], np.float32),
        "speed": np.zeros(8, np.float32),
    }
    row = {
        "observation": seen,
        "action": np.arange(7, dtype=np.float32),
        "language_instruction": "wave",
        "language_embedding": np.zeros(512, np.float32),
        "is_first": True,
    }
    root = write(tmp_path, "waver", f.FeaturesDict({"steps": f.Dataset(step)}), {"train": [{"steps": [row] * 3}]})
    proposed = catalog.source("openx/auto")(str(root)).proposal()
    assert 'primary: observation/top  # uint8 64x64x3 "From above"' in proposed
    assert "secondary: observation/views/side" in proposed
    assert "wrist: observation/views/gripper_cam" in proposed
    assert "top_depth (uint16 64x64x1)" in proposed
    assert "state_encoding: eef_pose" in proposed
    assert "action_encoding: eef_delta" in proposed
    answers = ["waver_arm", "4", "quaternion_xyzw", "gripper_01_closes", "euler", "gripper_01_opens"]
    head, *rest = proposed.split(": FILL_IN")
    text = head + "".join(f": {answer}{tail}" for answer, tail in zip(answers, rest, strict=True))
    (episode,) = read_all(root, mapped(tmp_path, text))
    np.testing.assert_allclose(episode.state[0], [1, 2, 3, 0, 0, 0, 0.75], atol=1e-6)
    np.testing.assert_allclose(episode.action[0], [0, 1, 2, 3, 4, 5, 1], atol=1e-6)
    assert (sorted(episode.cameras), episode.instruction) == (["primary", "secondary", "wrist"], ["wave"])
    assert episode.raw_state.shape == (3, 16)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (
            {"base_pose": 7, "gripper_closed": 1},
            [
                'base_pose, columns: "0:3", convert: none',
                'base_pose, columns: "3:7"',
                "key: observation/gripper_closed",
            ],
        ),
        (
            {"joint_pos": 7, "ee_pos": 3, "ee_quat": 4, "gripper_pos": 1},
            ["key: observation/ee_pos", "key: observation/ee_quat", "key: observation/gripper_pos"],
        ),
        ({"joint_pos": 6}, ['key: observation/joint_pos, columns: ":", convert: none']),
    ],
)
def test_a_proposal_finds_the_pieces_of_a_pose(tmp_path: Path, sizes: dict[str, int], expected: list[str]) -> None:
    seen = {name: np.zeros((T, n), np.float32) for name, n in sizes.items()}
    action = {name: np.zeros((T, n), np.float32) for name, n in {"rotation_delta": 3, "world_vector": 3}.items()}
    root = write_openx(tmp_path, "arm", {"observation": {**seen, "image": flat((9, 9, 9))}, "action": action})
    proposed = catalog.source("openx/auto")(str(root)).proposal()
    lines = [line for line in proposed.splitlines() if line.startswith("  - ")]
    wanted = [*expected, "key: action/world_vector", "key: action/rotation_delta"]
    assert [want in line for want, line in zip(wanted, lines, strict=True)] == [True] * len(wanted), proposed
