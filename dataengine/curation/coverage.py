"""Whether a rule can judge an episode, by what else than its usual measure it does, and why not.

Words are told of one episode and of many: phrases without a verb, `no state`, or `by the usual reach of ...`. Equal
cases say it in equal words, so that reports can count them.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple


class Seen(NamedTuple):
    """What episodes have in common that decides whether a rule can judge them."""

    known: frozenset[str]
    """Those of the rule's numbers that have a meaning for them."""
    state: str
    """Encoding of the state; empty where there is none."""
    action: str
    """Encoding of the action; empty where there is none."""


@dataclass(frozen=True)
class Coverage:
    """How a rule stands to an episode."""

    is_judged: bool
    words: str = ""
    """Why it is not judged; or by what it is, or which part, where that is not the rule's usual measure."""


JUDGED: Final = Coverage(is_judged=True)


def judged(by: str) -> Coverage:
    """Tell by what a rule judges, or which part of an episode."""
    return Coverage(is_judged=True, words=by)


def unjudged(why: str) -> Coverage:
    """Tell what a rule lacks."""
    return Coverage(is_judged=False, words=why)
