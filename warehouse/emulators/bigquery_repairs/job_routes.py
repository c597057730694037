"""Answer the job requests as BigQuery does.

| request | stock | here |
| --- | --- | --- |
| jobs.insert, id used before | runs again | 409 |
| jobs.insert, long job | answers when it ends | answers within a second: RUNNING |
| jobs.insert with a SQL error | 200, the error in the job's state | 400, 404 …; the job is kept |
| jobs.query with a SQL error | an empty result | 400, 404 … with the message |
| labels, and the rest of the configuration | lost | kept |
| jobs.list | no paging, no times | `pageToken`, `minCreationTime`, `maxCreationTime`, `projection`, `fields` |
| `configuration.jobType` | as it was sent | told |
| jobs.getQueryResults of a failed or running job | 404 | its error; `jobComplete: false` |
| jobs.cancel | does nothing | stops the job |
| dry run | a SELECT is run, bytes are 0 | nothing is run, bytes are told |
| a crash between a statement and its job's record | either | both or neither |
"""

from typing import Annotated, Any
from uuid import uuid4

import bqemulator.api.routes.jobs as stock
import bqemulator.jobs.executor as executor
from bqemulator.catalog.duckdb_repository import DuckDBCatalogRepository
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import DomainError, InvalidQueryError, NotFoundError, ResourceRef, resource_not_found
from bqemulator.storage.engine import CATALOG_SCHEMA
from fastapi import APIRouter, Query, Request

from .job_runner import runner
from .partial_response import selected
from .repeats import without_remark
from .requests import KnownBody

_ANSWER_WITHIN_SECONDS = 1.0
_DEFAULT_TIMEOUT_MS = 10_000
_MAX_ROWS = 10_000
_STATUS_OF_REASON = {
    "notFound": 404,
    "duplicate": 409,
    "accessDenied": 403,
    "internalError": 500,
    "notImplemented": 501,
}
_WITH_ROWS = {None, "SELECT", "SCRIPT"}
_QUERY_FIELDS = (
    "query",
    "useLegacySql",
    "queryParameters",
    "parameterMode",
    "defaultDataset",
    "connectionProperties",
    "maximumBytesBilled",
)
_JOB_TYPES = ("query", "load", "extract", "copy")
_JOB_FIELDS = ("labels", "jobTimeoutMs")
_ESTIMATED_WRITES = {"INSERT", "UPDATE", "DELETE", "MERGE", "CREATE_TABLE_AS_SELECT"}

router = APIRouter(prefix="/bigquery/v2")


class _JobFailed(DomainError):
    """A finished job's error as an HTTP error."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(result["message"], location=result.get("location"))
        self.bq_reason = result["reason"]
        self.http_status = _STATUS_OF_REASON.get(self.bq_reason, 400)


def _start(context: Any, caller: Any, project_id: str, job_id: str, configuration: dict[str, Any]) -> None:
    body = KnownBody({"jobReference": {"projectId": project_id, "jobId": job_id}, "configuration": configuration})
    runner.start(
        context, project_id, job_id, configuration, lambda: stock.insert_job(project_id, body, context, caller)
    )


@router.post("/projects/{project_id}/jobs")
async def insert_job(project_id: str, request: Request, context: stock._Ctx, caller: stock._Caller) -> dict[str, Any]:
    """Start a job. Answers with its end if that comes soon, else with its running state."""
    body = await request.json()
    configuration = body.get("configuration") or {}
    job_id = (body.get("jobReference") or {}).get("jobId") or f"job_{uuid4().hex}"
    if configuration.get("dryRun"):
        dry = KnownBody({"jobReference": {"jobId": job_id}, "configuration": configuration})
        return await runner.dry_run(
            context, project_id, job_id, lambda: stock.insert_job(project_id, dry, context, caller)
        )
    _start(context, caller, project_id, job_id, configuration)
    await runner.wait(project_id, job_id, _ANSWER_WITHIN_SECONDS)
    error = context.catalog.get_job(project_id, job_id).error_result
    if error:
        raise _JobFailed(error)
    return await get_job(project_id, job_id, context)


@router.get("/projects/{project_id}/jobs/{job_id}")
async def get_job(project_id: str, job_id: str, context: stock._Ctx) -> dict[str, Any]:
    """A job, with what it has cost so far."""
    job = context.catalog.get_job(project_id, job_id)
    if job is None:
        raise resource_not_found(ResourceRef("job", project_id, resource_id=job_id))
    return stock._build_job_response(project_id, job_id, runner.as_seen(job), _configuration(job))


def _configuration(job: JobMeta) -> dict[str, Any]:
    kind = next((kind for kind in _JOB_TYPES if kind in job.configuration), "unknown")
    return {**job.configuration, "jobType": kind.upper()}


@router.post("/projects/{project_id}/queries")
async def query(project_id: str, request: Request, context: stock._Ctx, caller: stock._Caller) -> dict[str, Any]:
    """Run a query and answer with its first rows, or without rows if it takes longer than `timeoutMs`."""
    body = await request.json()
    if body.get("dryRun"):
        job_id = f"job_{uuid4().hex}"
        return await runner.dry_run(
            context, project_id, job_id, lambda: stock.query(project_id, KnownBody(body), context, caller)
        )
    if not body.get("query", "").strip():
        raise InvalidQueryError("The query is empty.")
    # A client that repeats a request, since it lost the answer, repeats the id too: the query runs once.
    job_id = f"request_{body.get('requestId') or uuid4().hex}"
    if context.catalog.get_job(project_id, job_id) is None:
        configuration: dict[str, Any] = {"query": {name: body[name] for name in _QUERY_FIELDS if name in body}}
        configuration |= {name: body[name] for name in _JOB_FIELDS if name in body}
        _start(context, caller, project_id, job_id, configuration)
    timeout_ms = body.get("timeoutMs") or _DEFAULT_TIMEOUT_MS
    answer = await _results(context, project_id, job_id, timeout_ms, 0, body.get("maxResults") or _MAX_ROWS)
    return {**answer, "kind": "bigquery#queryResponse"}


@router.get("/projects/{project_id}/queries/{job_id}")
async def get_query_results(
    project_id: str,
    job_id: str,
    context: stock._Ctx,
    max_results: Annotated[int, Query(alias="maxResults")] = _MAX_ROWS,
    start_index: Annotated[int, Query(alias="startIndex")] = 0,
    page_token: Annotated[str | None, Query(alias="pageToken")] = None,
    timeout_ms: Annotated[int, Query(alias="timeoutMs")] = _DEFAULT_TIMEOUT_MS,
) -> dict[str, Any]:
    """A page of a query's rows; `jobComplete: false` if it still runs after `timeoutMs`."""
    offset = int(page_token) if page_token else start_index
    return await _results(context, project_id, job_id, timeout_ms, offset, max_results)


async def _results(
    context: Any, project_id: str, job_id: str, timeout_ms: int, offset: int, max_results: int
) -> dict[str, Any]:
    await runner.wait(project_id, job_id, timeout_ms / 1000)
    job = context.catalog.get_job(project_id, job_id)
    if job is None:
        raise resource_not_found(ResourceRef("job", project_id, resource_id=job_id))
    reference = {"projectId": project_id, "jobId": job_id, "location": "US"}
    kind = "bigquery#getQueryResultsResponse"
    if job.state != "DONE":
        return {"kind": kind, "jobReference": reference, "jobComplete": False}
    if job.error_result:
        raise _JobFailed(job.error_result)
    if job_id in stock.JOB_RESULTS:
        answer = stock.get_query_results(project_id, job_id, context, max_results, offset, None)
    elif job.statistics.get("query", {}).get("statementType") in _WITH_ROWS:
        raise NotFoundError(f"The rows of job {job_id} are no longer kept by the emulator: run the query again.")
    else:
        answer = {
            "jobComplete": True,
            "schema": {"fields": []},
            "rows": [],
            "totalRows": "0",
        }
    stock._attach_query_metadata(answer, job)
    processed = job.statistics.get("totalBytesProcessed", "0")
    return {**answer, "kind": kind, "jobReference": reference, "totalBytesProcessed": processed}


@router.get("/projects/{project_id}/jobs")
def list_jobs(
    project_id: str,
    context: stock._Ctx,
    max_results: Annotated[int, Query(alias="maxResults")] = 50,
    page_token: Annotated[str | None, Query(alias="pageToken")] = None,
    states: Annotated[list[str] | None, Query(alias="stateFilter")] = None,
    projection: str = "minimal",
    min_creation_ms: Annotated[int, Query(alias="minCreationTime")] = 0,
    max_creation_ms: Annotated[int | None, Query(alias="maxCreationTime")] = None,
    parent_job_id: Annotated[str | None, Query(alias="parentJobId")] = None,
    fields: str | None = None,
) -> dict[str, Any]:
    """The project's jobs, latest first; configurations (and with them labels) for `projection=full` only."""
    wanted_states = {state.upper() for state in states or ()}

    def wanted(job: JobMeta) -> bool:
        created_ms = int(job.creation_time.timestamp() * 1000)
        return (
            (not wanted_states or job.state in wanted_states)
            and created_ms >= min_creation_ms
            and (max_creation_ms is None or created_ms <= max_creation_ms)
        )

    # A script's statements are no jobs of their own here, so no job has children.
    every_job = () if parent_job_id else context.catalog.list_jobs(project_id, max_results=None)
    jobs = [job for job in every_job if wanted(job)]
    start = int(page_token or 0)
    page = jobs[start : start + max_results]
    answer: dict[str, Any] = {
        "kind": "bigquery#jobList",
        "jobs": [_list_item(job, full=projection.lower() == "full") for job in page],
    }
    if start + len(page) < len(jobs):
        answer["nextPageToken"] = str(start + len(page))
    return answer if fields is None else selected(answer, fields)


def _list_item(job: JobMeta, *, full: bool) -> dict[str, Any]:
    item = stock._build_job_response(job.project_id, job.job_id, runner.as_seen(job), _configuration(job))
    item["state"] = job.state
    if job.error_result:
        item["errorResult"] = job.error_result
    if not full:
        del item["configuration"]
    return item


@router.post("/projects/{project_id}/jobs/{job_id}/cancel")
async def cancel_job(project_id: str, job_id: str, context: stock._Ctx) -> dict[str, Any]:
    """Stop a job and answer with its state, which can still be RUNNING."""
    runner.cancel(project_id, job_id)
    await runner.wait(project_id, job_id, _ANSWER_WITHIN_SECONDS)
    return {"kind": "bigquery#jobCancelResponse", "job": await get_job(project_id, job_id, context)}


def install() -> None:
    """Keep whole configurations and costs, and make a statement and its job's record one transaction."""
    handle_query = stock._handle_query_job
    execute = stock.execute_query_job
    preview = stock._dry_run_response

    async def handle_query_keeping_configuration(
        project_id: str, job_id: str, configuration: dict[str, Any], **options: Any
    ) -> Any:
        result = await handle_query(project_id, job_id, configuration, **options)
        if isinstance(result, dict):
            costs = runner.current().statistics()
            result["statistics"] |= {**costs, "query": {**result["statistics"]["query"], **costs["query"]}}
            return result
        asked = configuration["query"]
        query = {**asked, **(result.configuration.get("query") or {}), "query": asked.get("query", "")}
        return runner.ended(result).model_copy(update={"configuration": {**configuration, "query": query}})

    async def preview_with_estimate(
        *, project_id: str, bq_sql: str, query_params: Any, ctx: Any, caller: Any, **options: Any
    ) -> dict[str, Any]:
        request = {"project_id": project_id, "bq_sql": bq_sql, "query_params": query_params}
        answer = await preview(**request, ctx=ctx, caller=caller, **options)
        if stock.classify_statement_type(bq_sql) in _ESTIMATED_WRITES:
            await executor._run_single_sql(project_id, bq_sql, query_params, ctx, caller=caller)
        return {**answer, "totalBytesProcessed": str(runner.current().bytes_processed)}

    async def execute_in_transaction(
        project_id: str, job_id: str, sql: str, parameters: Any, context: Any, **options: Any
    ) -> JobMeta:
        sql = without_remark(sql)
        began = stock.classify_statement_type(sql) != "SCRIPT" and runner.begin_transaction(context)
        try:
            return await execute(project_id, job_id, sql, parameters, context, **options)
        except BaseException:
            if began:
                runner.roll_back(context)
            raise

    written: set[tuple[str, str]] = set()

    def write_job(self: DuckDBCatalogRepository, job: JobMeta) -> None:
        # Most jobs are written once, when they end. To look for a row to replace takes DuckDB three times as long.
        key = (job.project_id, job.job_id)
        insert = "INSERT OR REPLACE" if key in written else "INSERT"
        written.add(key)
        times = (job.creation_time, job.start_time, job.end_time)
        values = [*key, job.job_type, job.state, job.model_dump_json(by_alias=True), *times, job.etag]
        self._engine.execute(
            f'{insert} INTO "{CATALOG_SCHEMA}".jobs (project_id, job_id, job_type, state, metadata_json, '
            "creation_time, start_time, end_time, etag) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    DuckDBCatalogRepository._write_job = write_job
    stock._handle_query_job = handle_query_keeping_configuration
    stock._dry_run_response = preview_with_estimate
    stock.execute_query_job = execute_in_transaction
