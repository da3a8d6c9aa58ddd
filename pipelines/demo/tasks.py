"""The tasks of the demo by what is asked of them; its stages, each with its settings, are in `pipeline_demo.yaml`."""

GATE_TASKS = ("button-press-topdown", "window-close", "window-open")
"""Tasks that need sight and that a small policy solves; success on them is the demo's target."""
