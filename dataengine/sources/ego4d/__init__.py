"""Ego4D: its list of videos, its narrations and its hand-object interactions."""
