"""What differs between the settings that something was made with and those of today, a line for each."""

from collections.abc import Iterator, Mapping
from typing import Any

from dataengine.reading import one_line

LONGEST = 300
"""Letters of a line: a mixture may name a thousand datasets."""


def differences(before: Any, now: Any, titles: Mapping[str, str], name: str = "") -> Iterator[str]:
    """Say what differs, setting by setting, however deep it lies; `titles` say what a key of the outermost means."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            inner = f"{name}.{key}" if name else titles.get(key, key)
            yield from differences(before.get(key), now.get(key), titles, inner)
    elif before != now:
        old, new = ("not set" if value is None else value for value in (before, now))
        yield one_line(f"{name}: {old} -> {new}", LONGEST)
