"""Clips of long videos: planned from labels without decoding, then cut in one pass over each video."""
