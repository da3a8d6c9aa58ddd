"""`villa doctor`: what is installed and what is missing for which feature."""

from cli.contract import app, command
from dataengine.report import Report


@command(app, "doctor", example="villa doctor\nvilla doctor --json")
def doctor() -> Report:
    """Check libraries, codecs, rendering, GPU and disk; every gap comes with the command that closes it."""
    from pipelines import doctor as pipeline

    return pipeline.run(pipeline.DoctorConfig())
