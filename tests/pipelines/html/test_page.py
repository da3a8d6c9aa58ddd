"""The demo's page: one file, nothing from elsewhere, whole or not yet whole."""

import re
from html.parser import HTMLParser

import pytest

from pipelines.demo.report import render
from pipelines.demo.summary import Curation, DemoSummary, Evaluated, Recorded, Rollout, RuleOutcome
from pipelines.evaluation.evaluate import wilson
from pipelines.html import charts, page
from tests.support.demo_run import make_run


class Read(HTMLParser):
    """Collects what a browser would fetch, and checks that tags close in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, words: str) -> None:
        super().__init__()
        self.open, self.sources, self.ids, self.links, self.text = [], [], [], [], []
        self.feed(words)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.sources += [found[key] for key in ("src", "data", "action") if key in found]
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        assert tag != "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(place) -> Read:
    found = Read(place.read_text())
    assert found.open == []
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return folder


def test_the_page_fetches_nothing_and_its_links_lead_somewhere(whole):
    found = read(render(whole))
    assert found.sources
    assert all(source.startswith("data:image/") for source in found.sources)
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert "url(" not in page.STYLE
    assert "@import" not in page.STYLE


def test_the_page_tells_every_stage(whole):
    text = " ".join(read(render(whole)).text)
    assert "57/60" in text  # of the first policy, over the tasks of the target
    for words in ("openx/metaworld", "head_color.mp4 is missing; <expected> 1", "drop_still", "31 of 32", "2,400,000"):
        assert words in text
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
    said = "all 4 episodes not judged: no state (made 4)"
    rules = [RuleOutcome(rule=r, judged=0, not_judged=4, dropped=0, notes=[said]) for r in ("drop_still", "drop_jumps")]
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
    found = read(render(tmp_path))
    assert any("no picture at" in text for text in found.text)


def test_a_summary_is_read_as_it_was_written(tmp_path):
    assert DemoSummary.load(tmp_path) == DemoSummary()
    summary = make_run(tmp_path)
    assert DemoSummary.load(tmp_path) == summary


def test_words_from_outside_are_escaped_everywhere():
    evil = '<b onclick="x">&'
    drawn = [
        page.table([evil], [[evil]]),
        page.cards([(evil, evil, evil)]),
        page.note(evil, [evil]),
        charts.bar_chart(evil, {evil: [charts.Value(1)]}, [evil]),
        charts.interval_chart(evil, {evil: {evil: charts.Value(0.5)}}, names=[evil]),
    ]
    for html in drawn:
        assert "<b onclick" not in html


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.7, 12.0), (0.98, 1.02), (5.0, 5.0), (0.0, 1e-9), (0, 12345)])
def test_ticks_are_round_and_enclose_the_numbers(low, high):
    ticks = charts.round_ticks(low, high, 4)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 7


def test_a_line_chart_stays_inside_its_frame_and_skips_what_is_not_a_number():
    lines = [charts.Series("a", [0, 1, 2, 3], [1.0, float("nan"), 100.0, 0.001])]
    svg = charts.line_chart("t", lines, x_label="step", log=True)
    (points,) = re.findall(r'points="([^"]+)"', svg)
    places = [tuple(map(float, point.split(","))) for point in points.split()]
    assert len(places) == 3
    assert all(charts.LEFT <= x <= charts.WIDTH and charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM for x, y in places)


def test_charts_without_numbers_draw_nothing():
    assert charts.line_chart("t", [], x_label="step") == ""
    assert charts.bar_chart("t", {}, []) == ""
