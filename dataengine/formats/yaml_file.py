"""YAML that somebody else wrote: a few lines of `*alias` may stand for more values than memory holds."""

import os
from typing import Any

import yaml

from dataengine.formats import remote

MAX_BYTES = 2**17
"""Longest text: a plan of a thousand datasets. Python's reader of YAML takes 25 microseconds for a byte."""
MAX_BRACKETS = 5_000
"""It takes a time that grows with their square."""
MAX_VALUES = 100_000
"""Values once every alias is written out."""
MAX_DEPTH = 50


class BoundsError(yaml.YAMLError):
    """A text that asks for more than any mapping, plan or recipe does."""


def read(uri: str | os.PathLike[str], loader: type = yaml.SafeLoader) -> Any:
    """Return what a file holds; raise OSError when it cannot be opened, YAMLError when it is not such YAML."""
    with remote.open_file(uri) as file:
        return load(bytes(file.read(MAX_BYTES + 1)), loader)


def load(text: str | bytes, loader: type = yaml.SafeLoader) -> Any:
    """Return what a text holds; raise YAMLError when it is no YAML, or too large with all its aliases written out."""
    if len(text) > MAX_BYTES:
        raise BoundsError(f"it has more than {MAX_BYTES} bytes")
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        if text.count("[") + text.count("{") > MAX_BRACKETS:
            raise BoundsError(f"it has more than {MAX_BRACKETS} brackets")
        node = yaml.compose(text, loader)
        if node is None:
            return None
        _written_out(node, {}, 0)
        return loader("").construct_document(node)
    except RecursionError as error:
        raise BoundsError(f"its values lie more than {MAX_DEPTH} deep in one another") from error
    except (ValueError, OverflowError) as error:  # a date that there is not, half a letter
        raise BoundsError(str(error)) from error


def _written_out(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Count the values below a node; a part that aliases name again counts each time, but is looked at once."""
    if depth > MAX_DEPTH:  # an alias within what it stands for has no end
        raise BoundsError(f"its values lie more than {MAX_DEPTH} deep in one another")
    if id(node) not in known:
        if isinstance(node, yaml.ScalarNode):
            node.value.encode()  # a UnicodeEncodeError, which is a ValueError, at half a letter
        inner = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            inner = [each for pair in node.value for each in pair]
        known[id(node)] = 1 + sum(_written_out(each, known, depth + 1) for each in inner)
    if known[id(node)] > MAX_VALUES:
        raise BoundsError(f"it stands for more than {MAX_VALUES} values")
    return known[id(node)]
