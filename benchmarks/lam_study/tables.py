"""Reads the reports of all arms and seeds; writes results.json and results.md."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

YARDSTICKS = ("training median", "true state change")


def read(place: Path) -> dict[str, Any]:
    """Flatten what one model's reports say, by embodiment."""
    report, probe = (json.loads((place / name).read_text()) for name in ("report.json", "probe.json"))
    scores = report["scores"]
    found: dict[str, Any] = {
        "seconds": report["seconds"],
        "steps": report["steps"],
        "codebook": scores["codebook"],
        "codes_used": scores["codes_used"],
        "bodies": defaultdict(dict),
    }
    for v in scores["visual"]:
        copy = v["copy_frame"]
        found["bodies"][v["embodiment"]] |= {
            "visual": v["model"] / copy,
            "shuffled": v["shuffled"] / copy,
            "gap": v["shuffled"] / v["model"] - 1,
        }
    for p in scores["proprio"]:
        found["bodies"][p["embodiment"]] |= {
            key: p[key] for key in ("state", "state_if_held", "action", "action_if_mean")
        }
    for c in scores["controls"]:
        found["bodies"][c["embodiment"]] |= {
            "hold_still": mean(c["hold_slots"]),
            **{key: c[key] for key in ("hold_tuple", "real_tuple", "shift_tuple", "shift_slots", "shift_size")},
        }
    for e in probe["embodiments"]:
        body = found["bodies"][e["embodiment"]]
        for r in e["readouts"]:
            name = {"training median": "median_", "true state change": "ceiling_"}.get(r["source"], "")
            body |= {f"{name}l1": r["l1"], f"{name}small": r["small_errors"]}
            body |= {f"{name}{group}": value for group, value in r["groups"].items()}
    return found


def line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return "\n".join([line(head), "|" + "---|" * len(head), *(line(row) for row in rows)])


class Results:
    """All models of the study."""

    def __init__(self, study: dict[str, Any], models: Path, work: Sequence[tuple[str, int]]) -> None:
        self.trained_on, self.unseen = study["trained_on"], study["unseen"]
        self.found: dict[str, dict[int, Any]] = defaultdict(dict)
        for arm, seed in work:
            self.found[arm][seed] = read(models / f"{arm}-{seed}")

    @property
    def arms(self) -> list[str]:
        return list(self.found)

    @property
    def probed(self) -> list[str]:
        return [*self.trained_on, self.unseen]

    def value(self, arm: str, seed: int, body: str, key: str) -> float | None:
        """One number; `trained` and `all` are means over robots, each weighing the same."""
        bodies = self.found[arm][seed]["bodies"]
        if body in ("trained", "all"):
            names = self.trained_on if body == "trained" else self.probed
            values = [bodies[name].get(key) for name in names]
            return None if None in values else mean(values)
        return bodies[body].get(key)

    def values(self, arm: str, body: str, key: str) -> list[float]:
        """That number for every seed."""
        found = [self.value(arm, seed, body, key) for seed in sorted(self.found[arm])]
        return [x for x in found if x is not None]

    def cell(self, arm: str, body: str, key: str, digits: int = 3) -> str:
        """Mean, and all seeds."""
        values = self.values(arm, body, key)
        if not values:
            return "-"
        seeds = ", ".join(f"{x:.{digits}f}" for x in values)
        return f"**{mean(values):.{digits}f}** ({seeds})" if len(values) > 1 else seeds

    def change(self, arm: str, versus: str, body: str, key: str) -> list[float]:
        """Relative change in pairs of seeds, where both have the seed."""
        seeds = sorted(set(self.found[arm]) & set(self.found[versus]))
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
        slots = [r.found[arm][seed]["codebook"] for seed in sorted(r.found[arm])]
        rows.append(
            [
                arm,
                ", ".join(str(r.found[arm][seed]["codes_used"]) for seed in sorted(r.found[arm])),
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


def verdicts(r: Results, arm: str, versus: str, shuffle_robots: Sequence[str] = ("sawyer", "fetch")) -> list[list[str]]:
    """The lines of "Must show" for a pair of arms."""

    def judged(values: Sequence[float], good: Callable[[float], bool], least: int | None = None) -> str:
        hits = sum(good(x) for x in values)
        return f"{'met' if values and hits >= (least or len(values)) else 'NOT met'} ({hits} of {len(values)})"

    rows: list[list[str]] = []
    for body in shuffle_robots:
        rows.append(
            [
                f"{body}: error at most 0.75 of copy",
                r.cell(arm, body, "visual", 2),
                judged(r.values(arm, body, "visual"), lambda x: x <= 0.75),
            ]
        )
        rows.append(
            [
                f"{body}: shuffling costs at least 20 %",
                r.cell(arm, body, "gap", 2),
                judged(r.values(arm, body, "gap"), lambda x: x >= 0.2),
            ]
        )
    return rows


def write_tables(study: dict[str, Any], models: Path, work: Sequence[tuple[str, int]]) -> None:
    r = Results(study, models, work)
    if not r.found:
        print("nothing is finished yet")
        return
    parts = {
        "Probing, L1": probing(r),
        "Next frames": pictures(r),
        "Shuffled latent actions": shuffled(r),
        "Codebook": codebook(r),
        "Proprio errors": proprio(r),
        "Controls": controls(r),
    }
    text = "\n\n".join(f"## {title}\n\n{body}" for title, body in parts.items())
    (models / "results.md").write_text(text + "\n")
    (models / "results.json").write_text(json.dumps(r.found, indent=1))
    print(text)
