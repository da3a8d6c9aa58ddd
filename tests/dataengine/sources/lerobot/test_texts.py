"""What LeRobot datasets say, and at which frames: every frame's text tells its place."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataengine import catalog, texts
from dataengine.episode import Text
from dataengine.shards.plan import plan
from dataengine.shards.reader import ShardReader
from dataengine.shards.writer import write_shards
from dataengine.sources.lerobot.texts import says_what_to_do
from dataengine.store import Corpus
from dataengine.store.read.reader import TableReader
from dataengine.windows.window import WindowSpec, cut_window
from pipelines import export, ingest, stats
from tests.support import lerobot_writer as lr

VERSIONS = ("v3.0", "v2.1")


@pytest.fixture(params=VERSIONS)
def root(request, tmp_path):
    """Three episodes of 12, 9 and 15 frames."""
    write = lr.write_v3 if request.param == "v3.0" else lr.write_v2
    return write(tmp_path / "cubes") or tmp_path / "cubes"


def read(root):
    source = catalog.source("lerobot")(str(root))
    return [outcome for part in source.parts() for outcome in source.read(part)]


def change_info(root, **features):
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, "features": {**info["features"], **features}}))


def set_columns(root, dtype="int64", shape=(1,), **columns):
    """Give every frame (episode i, frame k) a value: `columns` are functions of i and k, `__` stands for a dot."""
    columns = {key.replace("__", "."): value for key, value in columns.items()}
    change_info(root, **{key: {"dtype": dtype, "shape": list(shape), "names": None} for key in columns})
    for path in sorted((root / "data").rglob("*.parquet")):
        table = pq.read_table(path)
        steps = zip(table["episode_index"].to_pylist(), table["frame_index"].to_pylist(), strict=True)
        steps = list(steps)
        for key, value in columns.items():
            values = pa.array([value(i, k) for i, k in steps])
            where = table.column_names.index(key) if key in table.column_names else None
            table = table.append_column(key, values) if where is None else table.set_column(where, key, values)
        pq.write_table(table, path)


def set_tasks(root, tasks, word="task"):
    """Replace a list of texts; task_index is their place."""
    if (root / f"meta/{word}s.jsonl").is_file() or (root / "meta/episodes.jsonl").is_file():
        lines = [json.dumps({f"{word}_index": i, word: text}) for i, text in enumerate(tasks)]
        (root / f"meta/{word}s.jsonl").write_text("\n".join(lines))
        return
    table = pa.table({f"{word}_index": pa.array(range(len(tasks))), "__index_level_0__": tasks})
    pq.write_table(table, root / f"meta/{word}s.parquet")


def list_tasks(root, tasks):
    """Have every episode list these."""
    if (root / "meta/episodes.jsonl").is_file():
        file = root / "meta/episodes.jsonl"
        lines = [{**json.loads(line), "tasks": tasks} for line in file.read_text().splitlines() if line]
        file.write_text("\n".join(map(json.dumps, lines)))
        return
    for path in (root / "meta/episodes").rglob("*.parquet"):
        table = pq.read_table(path)
        where = table.column_names.index("tasks")
        pq.write_table(table.set_column(where, "tasks", pa.array([tasks] * len(table))), path)


def said(episode):
    """All phrases that hold at each frame."""
    return [[*texts.at(episode.texts, k)] for k in range(episode.num_steps)]


def test_a_task_for_every_frame_holds_at_that_frame(root):
    set_tasks(root, [f"do step {k}" for k in range(20)])
    set_columns(root, task_index=lambda i, k: k + i)
    for i, episode in enumerate(read(root)):
        assert said(episode) == [[Text(k, k + 1, (f"do step {k + i}",))] for k in range(lr.LENGTHS[i])]
        assert [texts.said_at(episode.texts, k) for k in range(3)] == [f"do step {k + i}" for k in range(3)]


def test_flags_and_quality_labels_are_notes_and_never_instructions(root):
    set_tasks(root, ["tidy up", "take the cup", "put it down", "valid", "qualified", "unqualified"])
    set_columns(
        root,
        task_index=lambda i, k: 1 if k < 5 else 2,
        coarse_task_index=lambda i, k: 0,
        annotation__human__validity=lambda i, k: 3,
        quality_index=lambda i, k: 4 if k < 7 else 5,
    )
    list_tasks(root, ["tidy up", "take the cup", "put it down", "valid", "qualified", "unqualified", "left over"])
    episode = read(root)[0]
    assert episode.texts == (Text(0, 5, ("take the cup",)), Text(5, 12, ("put it down",)), Text(0, 12, ("tidy up",)))
    assert episode.notes["annotation.human.validity"] == "valid"
    assert json.loads(episode.notes["quality_index"]) == [
        {"start": 0, "end": 7, "text": "qualified"},
        {"start": 7, "end": 12, "text": "unqualified"},
    ]
    assert json.loads(episode.notes["tasks_left_out"]) == ["left over"]


def test_columns_of_annotations_say_what_to_do_by_their_names(root):
    set_tasks(root, ["a cube", "pick the cube up", "reach", "grasp"])
    set_columns(
        root,
        annotation__human__action__task_description=lambda i, k: 1,
        annotation__human__coarse_action=lambda i, k: 2 + (k > 3),
    )
    first = read(root)[0]
    assert [t for t in first.texts if t.phrases != ("a cube",)] == [
        Text(0, 12, ("pick the cube up",)),
        Text(0, 4, ("reach",)),
        Text(4, 12, ("grasp",)),
    ]


def test_modality_json_tells_which_columns_are_annotations_and_of_what(root):
    set_tasks(root, ["pick the cube", "place the cube", "good"])
    set_columns(root, mark=lambda i, k: 2, wish=lambda i, k: 1)
    annotation = {"human.validity": {"original_key": "mark"}, "human.task_description": {"original_key": "wish"}}
    (root / "meta/modality.json").write_text(json.dumps({"annotation": annotation}))
    first = read(root)[0]
    assert first.instruction == ["pick the cube", "place the cube"]
    assert first.notes["mark"] == "good"


def test_subtasks_with_a_list_of_their_own_are_read_from_it(root):
    set_tasks(root, ["reach", "lift"], "subtask")
    set_columns(root, subtask_index=lambda i, k: int(k > 5))
    first = read(root)[0]
    assert first.texts == (Text(0, 12, ("pick the cube",)), Text(0, 6, ("reach",)), Text(6, 12, ("lift",)))


def test_numbered_columns_of_language_are_paraphrases_and_repeat_the_task(root):
    set_columns(
        root,
        "string",
        language_instruction=lambda i, k: "pick the cube",
        language_instruction_2=lambda i, k: "get it",
        language_instruction_3=lambda i, k: "" if i else "lift it",
        task_category=lambda i, k: "pick",
    )
    first, *_, third = read(root)
    assert first.texts == (Text(0, 12, ("pick the cube", "get it", "lift it")),)
    assert third.texts == (Text(0, 15, ("pick the cube", "get it")),)
    assert first.notes["task_category"] == "pick"


def test_a_column_of_several_texts_a_frame_gives_all_of_them(root):
    set_columns(root, "string", (2,), prompt=lambda i, k: [f"do {k // 6}", f"now {k // 6}"])
    first = read(root)[0]
    assert first.texts[1:] == (Text(0, 6, ("do 0", "now 0")), Text(6, 12, ("do 1", "now 1")))


@pytest.mark.parametrize("kind", [pa.binary(), pa.string()])
def test_a_text_that_is_not_utf8_is_lost_alone_and_noted(root, kind):
    instructions = [b"put the caf\xe9 cup down" if k == 3 else f"do {k}".encode() for k in range(20)]
    set_columns(root, "string", instruction=lambda i, k: instructions[k])
    for path in (root / "data").rglob("*.parquet"):
        table = pq.read_table(path)
        written = pa.concat_arrays(table["instruction"].chunks).view(kind)
        pq.write_table(table.set_column(table.column_names.index("instruction"), "instruction", written), path)
    first = read(root)[0]
    assert [phrase for phrase in first.instruction if phrase.startswith("do")] == [
        f"do {k}" for k in range(12) if k != 3
    ]
    assert first.notes["texts_lost"] == "instruction: a text that is not UTF-8 at 1 frames, the first is 3"


def test_persistent_language_of_newer_lerobot_holds_until_the_next_part(root):
    rows = [
        {"role": "user", "content": "tidy the table", "style": "task_aug", "timestamp": 0.0},
        {"role": "user", "content": "clear the table", "style": "task_aug", "timestamp": 0.0},
        {"role": "assistant", "content": "take the cup", "style": "subtask", "timestamp": 0.2},
        {"role": "assistant", "content": "put it away", "style": "subtask", "timestamp": 0.7},
        {"role": "assistant", "content": "1. take 2. put", "style": "plan", "timestamp": 0.0},
    ]
    set_columns(root, "language", language_persistent=lambda i, k: rows)
    first = read(root)[0]
    assert first.texts[1:] == (
        Text(0, 12, ("tidy the table", "clear the table")),
        Text(2, 7, ("take the cup",)),
        Text(7, 12, ("put it away",)),
    )
    assert json.loads(first.notes["language_persistent.plan"]) == [{"start": 0, "text": "1. take 2. put"}]


def test_numbers_without_a_text_are_noted_and_the_episodes_own_list_holds(root):
    set_tasks(root, ["pick the cube"])
    list_tasks(root, ["do as listed"])
    set_columns(root, task_index=lambda i, k: 7)
    first = read(root)[0]
    assert first.texts == (Text(0, 12, ("do as listed",)),)
    assert first.notes["texts_lost"] == "task_index 7: no such text in the dataset's list"


def test_other_texts_of_a_column_of_numbers_are_a_change_of_the_source(root):
    set_columns(root, subtask_index=lambda i, k: 0)
    marks = []
    for subtask in ("reach", "grasp"):
        set_tasks(root, [subtask], "subtask")
        marks.append([part.fingerprint for part in catalog.source("lerobot")(str(root)).parts()])
    assert marks[0] != marks[1]


@pytest.mark.parametrize(
    ("name", "speaks"),
    [
        ("task_index", True),
        ("coarse_task_index", True),
        ("subtask_index", True),
        ("language_instruction_3", True),
        ("observation.language", True),
        ("annotation.human.action.task_description", True),
        ("annotation.human.coarse_action", True),
        ("taskDescription", True),
        ("annotation.human.validity", False),
        ("quality_index", False),
        ("task_quality_index", False),
        ("task_category", False),
        ("task_name", False),
        ("operating_hand_index", False),
        ("action_index", False),
        ("operator", False),
        ("3", False),
    ],
)
def test_the_last_word_of_a_name_decides(name, speaks):
    assert says_what_to_do(name) == speaks


def test_windows_carry_the_task_of_their_start_through_corpus_trim_shards_and_export(root, tmp_path):
    set_tasks(root, [f"do step {k}" for k in range(20)])
    set_columns(root, task_index=lambda i, k: k // 3)
    uri = str(tmp_path / "corpus")
    ingest.run(ingest.IngestConfig(source="lerobot", root=str(root), corpus=uri, workers=1))
    stats.run(stats.StatsConfig(corpus=uri))
    corpus = Corpus.open(uri)
    everything = [[f"do step {k // 3}" for k in range(length)] for length in sorted(lr.LENGTHS)]
    assert windows_of(TableReader(corpus)) == everything

    out = tmp_path / "out"
    export.run(export.ExportConfig(corpus=uri, out=str(out), codec="h264"))
    (exported,) = (path for path in out.iterdir() if path.is_dir())
    again = str(tmp_path / "again")
    ingest.run(ingest.IngestConfig(source="lerobot", root=str(exported), corpus=again, workers=1))
    assert windows_of(TableReader(Corpus.open(again))) == everything

    corpus.ensure_columns(pa.schema([("trim_start", pa.int32()), ("trim_end", pa.int32())]))
    for fragment in corpus.fragment_ids():
        rows = corpus.fragment_table(fragment, ["num_steps"])
        cut = {"trim_start": pa.array([2] * len(rows), pa.int32()), "trim_end": pa.array([1] * len(rows), pa.int32())}
        corpus.update_fragment(fragment, pa.table({"_rowid": rows["_rowid"], **cut}))
    stats.run(stats.StatsConfig(corpus=uri))
    reader = TableReader(Corpus.open(uri))
    assert windows_of(reader) == [said[2:-1] for said in everything]
    write_shards(reader, tmp_path / "shards", plan(reader, segment_steps=4))
    assert windows_of(ShardReader(tmp_path / "shards")) == [said[2:-1] for said in everything]


@pytest.mark.parametrize(
    "values", [["a", "b", "c"], [[{"start": "0"}]] * 3, [[{"start": "0", "end": 1, "phrases": ["a"]}]] * 3, [[1]] * 3]
)
def test_texts_of_an_export_that_are_none_cost_their_episodes(tmp_path, values):
    root = lr.write_v3(tmp_path / "cubes")
    (root / "meta/villa.json").write_text("{}")
    (path,) = (root / "meta/episodes").rglob("*.parquet")
    pq.write_table(pq.read_table(path).append_column("source/texts", pa.array(values)), path)
    outcomes = read(root)
    assert [type(each).__name__ for each in outcomes] == ["Reject"] * 3
    assert "source/texts" in outcomes[0].reason


def windows_of(reader):
    """What windows at every start of every episode say, the shortest episode first."""
    starts = sorted(reader.episodes, key=lambda e: e.num_steps)
    return [[cut_window(reader, WindowSpec(), e.row, k).instruction for k in range(e.num_steps)] for e in starts]
