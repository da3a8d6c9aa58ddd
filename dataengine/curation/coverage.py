"""Whether a rule can check an episode, by what else than its usual measure it does, and why not.

One text serves one episode and many: phrases without a verb, `no state`, or `by the usual reach of ...`. Equal
cases say it in equal words, so that reports can count them.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple


class Seen(NamedTuple):
    """What episodes have in common that decides whether a rule can check them."""

    known: frozenset[str]
    """Those of the rule's numbers that have a meaning for them."""
    state: str
    """Encoding of the state; empty where there is none."""
    action: str
    """Encoding of the action; empty where there is none."""


@dataclass(frozen=True)
class Coverage:
    """How a rule stands to an episode."""

    is_checked: bool
    text: str = ""
    """Why it is not checked; or by what it is, or which part, where that is not the rule's usual measure."""


CHECKED: Final = Coverage(is_checked=True)


def checked(by: str) -> Coverage:
    """Tell by what a rule checks, or which part of an episode."""
    return Coverage(is_checked=True, text=by)


def unchecked(why: str) -> Coverage:
    """Tell what a rule lacks."""
    return Coverage(is_checked=False, text=why)
