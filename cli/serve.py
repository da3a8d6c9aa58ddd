"""`villa serve`: a policy for robots and benchmarks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract import app, command
from cli.settings import Settings

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "serve",
    example="villa serve runs/act\n"
    "villa serve runs/act --port 9000 --action-steps 4 --record runs/sessions\n"
    "villa serve --replay runs/corpus@3f2a9c01",
    configs={"": "pipelines.serving.config:ServeConfig"},
)
def serve(
    settings: Settings,
    policy: Annotated[str | None, typer.Argument(help="Folder of the trained policy; none with --replay.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; others than loopback need a token.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one.")] = None,
    embodiment: Annotated[
        str | None, typer.Option(help="Robot that is served, where the policy knows several.")
    ] = None,
    replay: Annotated[
        str | None, typer.Option(help="CORPUS@EPISODE: serve what was recorded, without a policy.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Folder to write sessions to, as a LeRobot dataset.")] = None,
    device: Annotated[str | None, typer.Option(help="`cpu`, `cuda` ...; by default the best there is.")] = None,
) -> "Report":
    """Serve a policy over websockets, for openpi clients (path /) and vla-eval (path /vla), until Ctrl-C.

    Robots and benchmarks need neither torch nor this package. `docs/serving.md` has the messages.
    """
    from pipelines.serving import serve as pipeline
    from pipelines.serving.config import ServeConfig

    return pipeline.run(
        settings.fill(
            ServeConfig,
            policy=policy,
            host=host,
            port=port,
            embodiment=embodiment,
            replay=replay,
            record=record,
            device=device,
        )
    )
