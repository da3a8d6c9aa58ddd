"""Hands of people in the steps of an episode: where they are, how sure that is, and in which frame."""

from dataengine.hands.hands import NUM_KEYPOINTS, SIDES, Hand, Hands, Lens, Side, Track

__all__ = ["NUM_KEYPOINTS", "SIDES", "Hand", "Hands", "Lens", "Side", "Track"]
