"""The job: a day's landing file into the warehouse, then the CRM's dbt build of that day."""

from datetime import date

from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    ConfigurableResource,
    DailyPartitionsDefinition,
    Failure,
    In,
    Nothing,
    OpExecutionContext,
    Out,
    in_process_executor,
    job,
    mem_io_manager,
    op,
)

DAYS = DailyPartitionsDefinition(start_date="2025-07-01")


class Client(ConfigurableResource):
    """Whose data, and where it lives."""

    client: str = "talbots"
    project_id: str = "talbots-og-map-dev"
    location: str = "US"
    bucket: str = "talbots-landing"


def _day(context: OpExecutionContext) -> date:
    if not context.has_partition_key:
        raise Failure("The job needs a day: give the tag dagster/partition, such as 2025-07-16.", allow_retries=False)
    if not DAYS.has_partition_key(context.partition_key):
        raise Failure(f"{context.partition_key} is not a day of this job; they run from {DAYS.get_first_partition_key()} to yesterday.", allow_retries=False)
    return date.fromisoformat(context.partition_key)


@op(out=Out(Nothing), description="Scrubs the day's landing file and replaces the day in the landing tables.")
def load_landing_file(context: OpExecutionContext, client: Client) -> None:
    """Load the day; fails in one sentence when the file is missing or can't be read."""
    # The clients take seconds to import: whoever only lists the jobs shouldn't wait for them.
    from .landing import MissingFile, landing_uri, read_landing_file
    from .load import replace_day
    from .scrub import UnusableFile, scrub

    day = _day(context)
    uri = landing_uri(client.bucket, day)
    try:
        scrubbed = scrub(read_landing_file(client.project_id, client.bucket, day), day)
    except MissingFile as error:
        raise Failure(str(error), allow_retries=False) from None
    except UnusableFile as error:
        raise Failure(f"The landing file {uri} cannot be used: {error}.", allow_retries=False) from None
    replace_day(client.project_id, client.location, f"{client.client}_landing", day, scrubbed)
    warnings = 0
    if not scrubbed.rows:
        warnings = 1
        context.log.warning(f"{uri} brought no rows.")
    reasons = [reject["reason"] for reject in scrubbed.rejects]
    context.log_event(
        AssetMaterialization(
            AssetKey([f"{client.client}_landing", "conversion"]),
            partition=context.partition_key,
            metadata={
                "lines": scrubbed.lines,
                "blank_lines": scrubbed.blank_lines,
                "rows_loaded": len(scrubbed.rows),
                "rows_rejected": len(scrubbed.rejects),
                "warnings": warnings,
                **{f"rejected_{reason}": reasons.count(reason) for reason in sorted(set(reasons))},
            },
        )
    )


@op(ins={"loaded": In(Nothing)}, out=Out(Nothing), description="Runs the CRM's dbt build for the day.")
def build_crm(context: OpExecutionContext, client: Client) -> None:
    """Build the day; fails naming each failing test."""
    from .crm_build import BuildFailed, build_crm_day

    dataset = f"{client.client}_crm"

    def progress(done: int, node: str) -> None:
        context.log_event(AssetObservation(AssetKey([dataset, node]), metadata={"done": done}))

    try:
        statuses = build_crm_day(client.client, client.project_id, _day(context).isoformat(), progress)
    except BuildFailed as error:
        raise Failure(str(error), allow_retries=False) from None
    context.log_event(
        AssetMaterialization(AssetKey([dataset, "conversions"]), partition=context.partition_key, metadata={f"dbt_{status}": count for status, count in statuses.items()})
    )


# In one process and with outputs in memory: the ops hand on nothing but their order, and a process each costs seconds.
@job(
    partitions_def=DAYS,
    executor_def=in_process_executor,
    resource_defs={"client": Client(), "io_manager": mem_io_manager},
    description="Scrubs and loads a day's landing file, then builds the CRM for that day.",
)
def talbots_crm_ingest() -> None:
    build_crm(load_landing_file())
