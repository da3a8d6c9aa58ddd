"""The demo's page: one file, nothing from elsewhere, whole or not yet whole."""

import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines.demo.report import render
from pipelines.demo.summary import Curation, DemoSummary, Evaluated, Recorded, Rollout, RuleOutcome
from pipelines.evaluation.results import wilson
from pipelines.html import charts, ticks
from pipelines.html.heat_map import heat_map
from pipelines.html.page import Section, page, remarked
from pipelines.html.templates import breakable, macros
from tests.support.demo_run import make_run


class Read(HTMLParser):
    """Collects what a browser would fetch, and checks that tags close in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.sources, self.ids, self.links, self.text = [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.sources += [attributes[key] for key in ("src", "data", "action") if key in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        assert tag != "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path) -> Read:
    html = Read(path.read_text())
    assert html.open == []
    return html


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return folder


def test_the_page_fetches_nothing_and_its_links_lead_somewhere(whole):
    path = render(whole)
    html = read(path)
    assert html.sources
    assert all(source.startswith("data:image/") for source in html.sources)
    assert {link.removeprefix("#") for link in html.links} <= set(html.ids)
    for fetches in ("url(", "@import", "http:", "https:"):
        assert fetches not in path.read_text()


def test_the_page_tells_every_stage(whole):
    text = " ".join(read(render(whole)).text)
    assert "57/60" in text  # of the first policy, over the tasks of the target
    for message in (
        "openx/metaworld",
        "head_color.mp4 is missing; <expected> 1",
        "drop_still",
        "31 of 32",
        "2,400,000",
    ):
        assert message in text
    assert "This stage has not run" not in text
    assert "simulated" in text


@pytest.mark.parametrize(("episodes", "played"), [(1, "one episode"), (20, "20 episodes")])
def test_what_so_few_episodes_leave_open_is_that_of_the_run(tmp_path, episodes, played):
    low, high = wilson(0, episodes)
    row = Evaluated(task="window-close", policy="p", successes=0, episodes=episodes, low=low, high=high)
    DemoSummary(quick=episodes == 1, evaluation=[row]).save(tmp_path)
    text = " ".join(read(render(tmp_path)).text)
    assert f"With {played} of each task a 95 % interval is up to {100 * (high - low):.0f} points wide" in text
    assert ("It says nothing of how good the models are" in text) == (episodes == 1)
    assert "Twenty" not in text


def test_what_rules_could_not_judge_stands_below_their_table(tmp_path):
    said = "all 4 episodes not checked: no state (made 4)"
    rules = [
        RuleOutcome(rule=r, checked=0, not_checked=4, dropped=0, notes=[said]) for r in ("drop_still", "drop_jumps")
    ]
    DemoSummary(curation=Curation(episodes=4, kept=4, rules=rules)).save(tmp_path)
    assert f"drop_still, drop_jumps: {said}" in " ".join(read(render(tmp_path)).text)


def test_the_summary_says_where_the_page_lies():
    assert DemoSummary(out="runs/quick", report="report/index.html").summary().endswith("runs/quick/report/index.html")


def test_the_same_run_gives_the_same_page(whole):
    assert render(whole).read_text() == render(whole).read_text()


def test_a_run_that_stopped_early_leaves_out_the_rest_and_says_so(tmp_path):
    DemoSummary(until="record", recorded=[Recorded(source="agibot", root="raw", episodes=1, steps=9)]).save(tmp_path)
    text = " ".join(read(render(tmp_path)).text)
    assert "asked to stop after 'record'" in text
    assert text.count("This stage has not run.") == 8
    assert "1 episodes" not in text


def test_a_run_that_never_began_still_gives_a_page(tmp_path):
    assert "has not run" in render(tmp_path).read_text()


def test_a_cut_off_metrics_file_and_a_lost_picture_cost_a_line_only(tmp_path):
    summary = make_run(tmp_path)
    curve = tmp_path / "lam" / "metrics.jsonl"
    curve.write_text(curve.read_text()[:-20])
    (tmp_path / "pictures" / "strip.png").unlink()
    summary.rollouts = [Rollout(image="pictures/strip.png", caption="", task="push", policy="p", success=False)]
    summary.save(tmp_path)
    html = read(render(tmp_path))
    assert any("no picture at" in text for text in html.text)


def test_curves_show_the_loss_on_held_out_windows_beside_that_of_training(tmp_path):
    make_run(tmp_path)
    assert "lam, held out" in read(render(tmp_path)).text


def test_a_summary_is_read_as_it_was_written(tmp_path):
    assert DemoSummary.load(tmp_path) == DemoSummary()
    summary = make_run(tmp_path)
    assert DemoSummary.load(tmp_path) == summary


EVIL = '</title><script>alert("1")</script>&'


def test_text_from_outside_is_escaped_in_every_block_and_drawing():
    blocks, value = macros("html/blocks.html"), charts.Value(0.5)
    drawn = [
        page(EVIL, EVIL, "", [Section("key", EVIL, "")], EVIL),
        remarked(EVIL, EVIL, EVIL),
        breakable(EVIL),
        blocks.table([EVIL], [[EVIL]]),
        blocks.cards([(EVIL, EVIL, EVIL)]),
        blocks.note(EVIL, [EVIL]),
        blocks.picture(Path(EVIL), EVIL, [EVIL]),
        charts.line_chart(EVIL, [charts.Series(EVIL, [0, 1], [1, 2])] * 2, x_label=EVIL, y_label=EVIL),
        charts.bar_chart(EVIL, {EVIL: [value, value]}, [EVIL, EVIL], y_label=EVIL),
        charts.interval_chart(EVIL, {EVIL: {EVIL: value}}, names=[EVIL]),
        charts.histogram(EVIL, [1, 2, 3], {EVIL: 2.0}),
        heat_map(EVIL, {EVIL: {EVIL: [0.5]}}, [EVIL], top=1.0),
    ]
    for html in drawn:
        assert "&lt;script&gt;" in html
        assert "<script" not in html


def test_text_from_outside_is_escaped_on_the_whole_page(tmp_path):
    report = json.loads(make_run(tmp_path).model_dump_json())
    files = {"curve", "image", "reconstructions"}

    def spoil(node, key=""):
        if isinstance(node, dict):
            return {name: spoil(each, name) for name, each in node.items()}
        if isinstance(node, list):
            return [spoil(each, key) for each in node]
        return node + EVIL if isinstance(node, str) and key not in files | {"out", "report"} else node

    DemoSummary.model_validate(spoil(report)).save(tmp_path)
    path = render(tmp_path)
    assert path.read_text().count("&lt;script&gt;") > 50
    assert read(path).sources


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.7, 12.0), (0.98, 1.02), (5.0, 5.0), (0.0, 1e-9), (0, 12345)])
def test_ticks_are_round_and_enclose_the_numbers(low, high):
    round_numbers = ticks.round_ticks(low, high, 4)
    assert round_numbers[0] <= low
    assert round_numbers[-1] >= high
    assert 2 <= len(round_numbers) <= 7


def labels(svg, *, anchor):
    """Numbers beside the axis upwards (end), or below the axis across (middle)."""
    return re.findall(f'text-anchor="{anchor}">([^<]+)</text>', svg)


@pytest.mark.parametrize(
    "values", [[0.31, 0.33], [1.0, 1.0], [2.1, 4.9], [0.0011, 0.0012], [6.2, 6.3, 9.7], [1e-3, 1e3]]
)
def test_a_logarithmic_axis_has_ticks_enough_to_be_read(values):
    line = charts.Series("loss", range(len(values)), values)
    label_texts = labels(charts.line_chart("t", [line], x_label="step", log=True), anchor="end")
    assert 3 <= len(label_texts) <= 9
    assert len(set(label_texts)) == len(label_texts)


@pytest.mark.parametrize(
    "numbers", [[1.0] * 5, [1.0, 1.0000001], [0.99998, 0.99999, 1.0], [12345.1, 12345.2], [20000.01, 20000.05]]
)
def test_no_two_ticks_of_a_histogram_have_the_same_label(numbers):
    svg = charts.histogram("share", numbers, {})
    label_texts = labels(svg, anchor="middle")
    assert label_texts
    assert len(set(label_texts)) == len(label_texts)
    assert all(float(count).is_integer() for count in labels(svg, anchor="end"))


def test_a_line_chart_stays_inside_its_frame_and_skips_what_is_not_a_number():
    lines = [charts.Series("a", [0, 1, 2, 3], [1.0, float("nan"), 100.0, 0.001])]
    svg = charts.line_chart("t", lines, x_label="step", log=True)
    (points,) = re.findall(r'points="([^"]+)"', svg)
    drawn = [tuple(map(float, point.split(","))) for point in points.split()]
    assert len(drawn) == 3
    assert all(charts.LEFT <= x <= charts.WIDTH and charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM for x, y in drawn)


def test_charts_without_numbers_draw_nothing():
    assert charts.line_chart("t", [], x_label="step") == ""
    assert charts.bar_chart("t", {}, []) == ""


def test_a_wheel_holds_every_template():
    root = Path(__file__).parents[3]
    shipped = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    templates = [f for f in (root / "pipelines").rglob("*") if f.suffix in (".html", ".svg", ".css")]
    assert len(templates) > 8
    for file in templates:
        assert any(file.match(pattern) for pattern in shipped), file
        assert (file.parent / "__init__.py").is_file(), file
