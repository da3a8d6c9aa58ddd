"""`villa ingest`: raw recordings into the corpus."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.contract import app, command
from cli.settings import Settings
from dataengine.errors import DataEngineError

if TYPE_CHECKING:
    from dataengine.report import Report


@command(
    app,
    "ingest",
    example="villa ingest openx/metaworld ~/data/metaworld/1.0.0 --corpus runs/corpus\n"
    "villa ingest agibot ~/data/agibot --corpus runs/corpus --engine ray --unit segment --frame-size 224\n"
    "villa ingest --plan villa-x --data ~/data --corpus runs/corpus --dry-run",
    configs={"": "pipelines.ingest:IngestConfig", "--plan": "pipelines.ingest.plan:IngestPlanConfig"},
    apart=["options"],
    choices={"plan": "pipelines.recipes.recipes:names:ingest"},
)
def ingest(
    settings: Settings,
    extra: dict[str, Any],
    source: Annotated[str | None, typer.Argument(help="Which dataset; `villa sources` lists them.")] = None,
    root: Annotated[str | None, typer.Argument(help="Folder or URI of its raw recordings.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Corpus to create or extend.")] = None,
    plan: Annotated[str | None, typer.Option(help="Many datasets instead: a plan by name, or a YAML file.")] = None,
    data: Annotated[str | None, typer.Option(help="With --plan: folder or URI that its datasets lie below.")] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="With --plan: do without datasets that are not there.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and count, write nothing.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when a record is rejected.")] = False,
    workers: Annotated[int | None, typer.Option(help="Parts read side by side; 0 takes every core.")] = None,
    engine: Annotated[str | None, typer.Option(help="`local` (processes of this machine) or `ray`.")] = None,
) -> "Report":
    """Read raw recordings, as their publisher ships them, into the corpus; each part exactly once.

    A bad record is put aside with its reason and the rest is read. Kill it and run the same command again: it goes
    on where it was. Some sources have options of their own, `villa sources NAME` lists them: `--unit segment`.
    """
    from pipelines import ingest as pipeline
    from pipelines.ingest import plan as ingest_plan

    kwargs: dict[str, Any] = {"corpus": corpus, "engine": engine, "workers": workers}
    kwargs |= {"strict": strict or None, "dry_run": dry_run or None}
    if plan is None and not settings.give("plan"):
        if settings.file is None and not settings.overrides and (source is None or root is None):
            raise DataEngineError("give SOURCE and ROOT, or --plan; see 'villa ingest --help'")
        kwargs |= {"source": source, "root": root, "options": extra or None}
        return pipeline.run(settings.fill(pipeline.IngestConfig, **kwargs))
    if source is not None or extra:
        given = source if source is not None else f"--{next(iter(extra))}"
        raise DataEngineError(f"found '{given}' beside a plan; the plan names the datasets and their options")
    kwargs |= {"plan": plan, "data": data, "skip_missing": skip_missing or None}
    return ingest_plan.run(settings.fill(ingest_plan.IngestPlanConfig, **kwargs))
