"""How SIMPLER's hand is turned."""

import numpy as np

LOOKS_DOWN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""Rotation of a hand that points down and opens along y: its roll, pitch and yaw are zero in BridgeData V2."""
