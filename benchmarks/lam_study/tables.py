"""Reads the reports of all arms and seeds; writes results.json and results.md."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

PAIRED = {
    "half-long-": "half-long-without",
    "half-wide-": "half-wide-without",
    "half-": "half-without",
    "real-long-": "real-long-without",
    "real-": "real-without",
    "near-": "near-without",
    "with": "without",
}
"""Which arm without proprio forward model those of a kind are compared with."""


def read(run: Path) -> dict[str, Any]:
    """Flatten what one model's reports say, by embodiment."""
    report, probe = (json.loads((run / name).read_text()) for name in ("report.json", "probe.json"))
    scores = report["scores"]
    flat: dict[str, Any] = {
        "seconds": report["seconds"],
        "steps": report["steps"],
        "codebook": scores["codebook"],
        "codes_used": scores["codes_used"],
        "bodies": defaultdict(dict),
    }
    for v in scores["visual"]:
        copy = v["copy_frame"]
        flat["bodies"][v["embodiment"]] |= {
            "visual": v["model"] / copy,
            "shuffled": v["shuffled"] / copy,
            "gap": v["shuffled"] / v["model"] - 1,
        }
    for p in scores["proprio"]:
        flat["bodies"][p["embodiment"]] |= {
            key: p[key] for key in ("state", "state_if_held", "action", "action_if_mean")
        }
    for c in scores["controls"]:
        flat["bodies"][c["embodiment"]] |= {
            "hold_still": mean(c["hold_slots"]),
            **{key: c[key] for key in ("hold_tuple", "real_tuple", "shift_tuple", "shift_slots", "shift_size")},
        }
    for e in probe["embodiments"]:
        body = flat["bodies"][e["embodiment"]]
        for r in e["readouts"]:
            name = {"training median": "median_", "true state change": "ceiling_"}.get(r["source"], "")
            body |= {f"{name}l1": r["l1"], f"{name}small": r["small_errors"]}
            body |= {f"{name}{group}": value for group, value in r["groups"].items()}
    return flat


def line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return "\n".join([line(head), "|" + "---|" * len(head), *(line(row) for row in rows)])


class Results:
    """All models of the study."""

    def __init__(self, study: dict[str, Any], models: Path, work: Sequence[tuple[str, int]]) -> None:
        self.trained_on, self.unseen = study["trained_on"], study["unseen"]
        self.by_arm: dict[str, dict[int, Any]] = defaultdict(dict)
        for arm, seed in work:
            self.by_arm[arm][seed] = read(models / f"{arm}-{seed}")

    @property
    def arms(self) -> list[str]:
        return list(self.by_arm)

    @property
    def probed(self) -> list[str]:
        return [*self.trained_on, self.unseen]

    def value(self, arm: str, seed: int, body: str, key: str) -> float | None:
        """One number; `trained` and `all` are means over robots, each weighing the same."""
        bodies = self.by_arm[arm][seed]["bodies"]
        if body in ("trained", "all"):
            names = self.trained_on if body == "trained" else self.probed
            values = [bodies[name].get(key) for name in names]
            return None if None in values else mean(values)
        return bodies[body].get(key)

    def values(self, arm: str, body: str, key: str) -> list[float]:
        """That number for every seed."""
        numbers = [self.value(arm, seed, body, key) for seed in sorted(self.by_arm[arm])]
        return [x for x in numbers if x is not None]

    def cell(self, arm: str, body: str, key: str, digits: int = 3) -> str:
        """Mean, and all seeds."""
        values = self.values(arm, body, key)
        if not values:
            return "-"
        seeds = ", ".join(f"{x:.{digits}f}" for x in values)
        return f"**{mean(values):.{digits}f}** ({seeds})" if len(values) > 1 else seeds

    def change(self, arm: str, versus: str, body: str, key: str) -> list[float]:
        """Relative change in pairs of seeds, where both have the seed."""
        seeds = sorted(set(self.by_arm[arm]) & set(self.by_arm[versus]))
        pairs = [[self.value(name, seed, body, key) for name in (arm, versus)] for seed in seeds]
        return [one / other - 1 for one, other in pairs if one is not None and other is not None]

    def change_cell(self, arm: str, versus: str, body: str, key: str) -> str:
        values = self.change(arm, versus, body, key)
        if not values:
            return "-"
        seeds = ", ".join(f"{x:+.1%}" for x in values)
        return f"**{mean(values):+.1%}** ({seeds})" if len(values) > 1 else seeds


def probing(r: Results) -> str:
    """L1 of probes, with the yardsticks."""
    first = r.arms[0]
    columns = [*((body, "l1") for body in r.probed), ("sawyer", "xyz"), ("all", "l1")]
    rows = [
        [name, *(r.cell(first, body, f"{kind}{key}").partition(" ")[0] for body, key in columns)]
        for name, kind in (("training median", "median_"), ("true state change", "ceiling_"))
    ]
    rows += [[arm, *(r.cell(arm, body, key) for body, key in columns)] for arm in r.arms]
    return table(["read from", *(f"{body} {key}" if key != "l1" else body for body, key in columns)], rows)


def pictures(r: Results) -> str:
    bodies = [*r.trained_on, r.unseen]
    rows = [
        [arm, *(r.cell(arm, body, "visual", 2) for body in bodies), r.cell(arm, "trained", "visual")] for arm in r.arms
    ]
    return table(["error / copy", *bodies, "trained on"], rows)


def shuffled(r: Results) -> str:
    bodies = [*r.trained_on, r.unseen]
    rows = [[arm, *(r.cell(arm, body, "gap", 2) for body in bodies)] for arm in r.arms]
    return table(["shuffling costs", *bodies], rows)


def codebook(r: Results) -> str:
    rows = []
    for arm in r.arms:
        slots = [r.by_arm[arm][seed]["codebook"] for seed in sorted(r.by_arm[arm])]
        rows.append(
            [
                arm,
                ", ".join(str(r.by_arm[arm][seed]["codes_used"]) for seed in sorted(r.by_arm[arm])),
                "; ".join(", ".join(str(s["used"]) for s in one) for one in slots),
                "; ".join(", ".join(f"{s['perplexity']:.1f}" for s in one) for one in slots),
            ]
        )
    return table(["arm", "codes used of 32, by seed", "by slot", "perplexity by slot"], rows)


def proprio(r: Results) -> str:
    arms = [arm for arm in r.arms if r.values(arm, "trained", "action")]
    keys = ("action", "action_if_mean", "state", "state_if_held")
    columns = [(body, key) for body in ("trained", r.unseen) for key in keys]
    rows = [[arm, *(r.cell(arm, body, key) for body, key in columns)] for arm in arms]
    return table(["arm", *(f"{body}: {key}" for body, key in columns)], rows)


def controls(r: Results) -> str:
    keys = ("hold_still", "hold_tuple", "real_tuple", "shift_tuple", "shift_slots", "shift_size")
    rows = [[arm, *(r.cell(arm, "trained", key, 2) for key in keys)] for arm in r.arms]
    return table(["arm, robots trained on", *keys], rows)


def judged(values: Sequence[float], good: Callable[[float], bool], least: int | None = None) -> str:
    """Count the seeds in which a target is met; it is met when `least` of them do, by default all."""
    hits = sum(good(x) for x in values)
    if not values:
        return "not run"
    return f"{'met' if hits >= min(least or len(values), len(values)) else 'NOT met'}, {hits} of {len(values)}"


def lower(r: Results, arm: str, versus: str, body: str, key: str, share: float, least: int | None = None) -> list[str]:
    """One line: an arm's figure is lower than another's by at least this share."""
    target = f"at least {share:.0%} lower" if share else "lower"
    where = f"{body} {key}".replace("trained", "mean of robots trained on").replace("all", "mean of robots")
    values = r.change(arm, versus, body, key)
    return [
        f"{where}: {target}" + (f", {least} of 3" if least else ""),
        r.change_cell(arm, versus, body, key),
        judged(values, lambda x: x <= -share, least),
    ]


def targets(r: Results) -> str:
    """The lines that the study must show, for `with`, `without` and `with-no-context`."""
    arm, versus = "with", "without"
    rows: list[list[str]] = []
    for body in ("sawyer", "fetch"):
        for target, key, good in (
            ("frame error at most 0.75 of copy", "visual", lambda x: x <= 0.75),
            ("shuffling costs at least 0.20", "gap", lambda x: x >= 0.2),
        ):
            rows.append([f"{body}: {target}", r.cell(arm, body, key, 2), judged(r.values(arm, body, key), good)])
    used = [one["codes_used"] for one in r.by_arm[arm].values()]
    least = [min(slot["perplexity"] for slot in one["codebook"]) for one in r.by_arm[arm].values()]
    rows.append(["at least 28 of 32 codes used", ", ".join(map(str, used)), judged(used, lambda x: x >= 28)])
    rows.append(
        [
            "perplexity at least 5 in every slot",
            ", ".join(f"{x:.1f}" for x in least) + " (least slot)",
            judged(least, lambda x: x >= 5),
        ]
    )
    if versus in r.arms:
        rows.append(lower(r, arm, versus, "sawyer", "l1", 0.08))
        rows.append(lower(r, arm, versus, "sawyer", "xyz", 0.12))
        rows.append(lower(r, arm, versus, "all", "l1", 0.03))
        rows.append(lower(r, arm, versus, "fetch", "l1", 0, 2))
        rows.append(lower(r, arm, versus, r.unseen, "l1", 0, 2))
        visual = r.change(arm, versus, "trained", "visual")
        target = "visual error, robots trained on: within 3 %"
        rows.append([target, r.change_cell(arm, versus, "trained", "visual"), judged(visual, lambda x: x <= 0.03)])
    if "with-no-context" in r.arms:
        rows.append(lower(r, arm, "with-no-context", "trained", "action", 0.08))
        rows.append(lower(r, arm, "with-no-context", "trained", "visual", 0.02))
        rows.append(["unseen robot: visual", r.change_cell(arm, "with-no-context", r.unseen, "visual"), "reported"])
        rows.append(["unseen robot: l1", r.change_cell(arm, "with-no-context", r.unseen, "l1"), "reported"])
        rows.append(["unseen robot: action", r.change_cell(arm, "with-no-context", r.unseen, "action"), "reported"])
    still = r.values(arm, "trained", "hold_still")
    target = "hold-still: the same code in at least 90 % of slots"
    rows.append([target, r.cell(arm, "trained", "hold_still", 2), judged(still, lambda x: x >= 0.9)])
    return table(["target", "measured", ""], rows)


def gains(r: Results) -> str:
    """Arms with a proprio forward model against the arm without one on the same data and steps."""
    rows = []
    for arm in r.arms:
        versus = next((v for prefix, v in PAIRED.items() if arm.startswith(prefix)), None)
        if versus in r.arms and versus != arm:
            columns = [("sawyer", "l1"), ("sawyer", "xyz"), ("fetch", "l1"), (r.unseen, "l1"), ("all", "l1")]
            columns.append(("trained", "visual"))
            rows.append([f"{arm} against {versus}", *(r.change_cell(arm, versus, *c) for c in columns)])
    head = ["", "sawyer", "sawyer xyz", "fetch", r.unseen, "mean of robots", "visual, trained on"]
    return table(head, rows) if rows else "not run"


def write_tables(study: dict[str, Any], models: Path, work: Sequence[tuple[str, int]]) -> None:
    r = Results(study, models, work)
    if not r.by_arm:
        print("nothing is finished yet")
        return
    parts = {
        "Targets": targets(r) if "with" in r.arms else "not run",
        "With against without the proprio forward model": gains(r),
        "Probing, L1": probing(r),
        "Next frames": pictures(r),
        "Shuffled latent actions": shuffled(r),
        "Codebook": codebook(r),
        "Proprio errors": proprio(r),
        "Controls": controls(r),
    }
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in parts.items())
    (models / "results.md").write_text(text + "\n")
    (models / "results.json").write_text(json.dumps(r.by_arm, indent=1))
    print(text)
