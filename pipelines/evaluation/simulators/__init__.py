"""Simulated robots: one file per simulator, found by name.

MuJoCo reads its drawing backend from the environment when it is imported, so the choice is made here, before that.
"""

from pipelines.evaluation.clients.drawing import choose_backend

choose_backend()
