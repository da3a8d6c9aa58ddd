"""Hashes that are equal on every machine and in every run: ids, fingerprints and draws at rest depend on each bit.

All are BLAKE2b. Checksums that others compare (`sha256` of shards and weights) are none of these.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

SEPARATOR: Final = "\x1f"
"""Between words, so that ("ab", "c") is not ("a", "bc")."""


def stable_id(*texts: str) -> str:
    """Hash words into 16 hex digits."""
    return hex_digest(SEPARATOR.join(texts))


def share_of(*texts: str) -> float:
    """Hash words into [0, 1): an even, stable choice of any share of them."""
    return number_of(SEPARATOR.join(texts)) / 2**64


def hex_digest(data: str | bytes, num_bytes: int = 8) -> str:
    """Hash text or bytes into two hex digits for each byte of the digest."""
    return hasher(data, num_bytes).hexdigest()


def number_of(data: str | bytes, num_bytes: int = 8) -> int:
    """Hash text or bytes into a whole number below 256^num_bytes."""
    return int.from_bytes(hasher(data, num_bytes).digest(), "little")


def joined_digests(messages: Iterable[bytes], num_bytes: int = 8) -> bytes:
    """Hash many messages, each by itself, a million in half a second; give their digests one after another."""
    return b"".join([hashlib.blake2b(message, digest_size=num_bytes).digest() for message in messages])


def hasher(start: str | bytes = b"", num_bytes: int = 8) -> "hashlib.blake2b":
    """Begin a hash that is given its data piece by piece; text may hold halves of a letter, as JSON does."""
    data = start.encode("utf-8", "surrogatepass") if isinstance(start, str) else start
    return hashlib.blake2b(data, digest_size=num_bytes)
