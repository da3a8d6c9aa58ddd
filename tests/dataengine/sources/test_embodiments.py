"""Statistics and action heads are kept per embodiment: one name must mean one layout, over all sources."""

from collections import defaultdict

from dataengine import catalog
from tests.support import openx_mixture, openx_more, openx_rest

CANONICAL = "eef_pose 7 eef_delta 7"
OTHERS = {"openx/fractal20220817_data", "openx/bridge_orig", "openx/libero", "openx/metaworld", "openx/fetch"}
"""Tested elsewhere; all of them canonical."""


def test_one_embodiment_means_one_layout_over_all_of_open_x_embodiment() -> None:
    layouts: dict[str, set[str]] = defaultdict(set)
    seen = set(OTHERS)
    for name in OTHERS:
        layouts[catalog.source(name).embodiment].add(CANONICAL)
    for name, (_, _, encodings, state_width, action_width) in (
        (name, case[1:]) for name, case in openx_rest.CASES.items()
    ):
        state, action = encodings.split()
        layouts[catalog.source(f"openx/{name}").embodiment].add(f"{state} {state_width} {action} {action_width}")
        seen.add(f"openx/{name}")
    for name, (_, _, _, _, embodiment, layout) in openx_more.SETS.items():
        layouts[embodiment].add(layout)
        seen.add(f"openx/{name}")
    for name, (_, _, embodiment, layout) in openx_mixture.MADE.items():
        layouts[embodiment].add(" ".join(map(str, layout)))
        seen.add(f"openx/{name}")
    assert {name: found for name, found in layouts.items() if len(found) != 1} == {}
    known = {name for name in catalog.source_names() if name.startswith("openx/")}
    assert known - seen == {"openx/auto"}
