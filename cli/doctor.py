"""`villa doctor`: what is installed and what is missing for which feature."""

from typing import TYPE_CHECKING

from cli.contract import app, command

if TYPE_CHECKING:
    from dataengine.report import Report


@command(app, "doctor", example="villa doctor\nvilla doctor --json")
def doctor() -> "Report":
    """Check libraries, codecs, rendering, GPU and disk; every gap comes with the command that closes it."""
    from pipelines import doctor as pipeline

    return pipeline.run(pipeline.DoctorConfig())
