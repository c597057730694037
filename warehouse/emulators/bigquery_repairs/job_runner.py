"""Run jobs one after another on a thread of their own, so that the server answers meanwhile.

Stock runs a job inside the request that brings it and blocks every other request until it ends:
no status, no cancel, no health check during a long query.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import bqemulator.api.routes.jobs as job_routes
import duckdb
from bqemulator.api.dependencies import AppContext
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import AlreadyExistsError, DomainError, InvalidQueryError
from bqemulator.jobs.error_mapper import translate_runtime_error

from .connections import fresh_connection

CANCELLED = {"reason": "stopped", "message": "Job execution was cancelled: User requested cancellation"}
_JOB_TYPES = ("query", "load", "extract", "copy")
_INTERRUPT_EVERY_SECONDS = 0.05

Work = Callable[[], Awaitable[dict[str, Any]]]


@dataclass
class _Job:
    project_id: str
    job_id: str
    connection: duckdb.DuckDBPyConnection | None = None
    in_transaction: bool = False
    cancelled: bool = False
    interrupting: threading.Lock = field(default_factory=threading.Lock)
    done: "Future[None]" = field(default_factory=Future)


class JobRunner:
    """The queue of jobs. Its methods are called from the server's thread, except where noted."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job")
        self._jobs: dict[tuple[str, str], _Job] = {}
        self._current: _Job | None = None

    def start(
        self, context: AppContext, project_id: str, job_id: str, configuration: dict[str, Any], work: Work
    ) -> None:
        """Reserve the id and queue the job. `work` runs it and records its end.

        Raises AlreadyExistsError (409) when the id was used before, even if that job still runs.
        """
        if context.catalog.get_job(project_id, job_id) is not None:
            raise AlreadyExistsError(f"Already Exists: Job {project_id}:US.{job_id}")
        # In memory only: after a crash a job that had not ended is unknown, and did nothing unless it was a script.
        context.catalog._cache.upsert_job(_record(context, project_id, job_id, configuration, "RUNNING", None))
        job = self._jobs[project_id, job_id] = _Job(project_id, job_id)
        job.done = self._pool.submit(self._run, context, job, configuration, work)

    async def dry_run(self, context: AppContext, project_id: str, job_id: str, work: Work) -> dict[str, Any]:
        """Run `work` in its turn and forget the job."""
        job = _Job(project_id, job_id)
        try:
            return await asyncio.wrap_future(self._pool.submit(self._work, context, job, work))
        finally:
            context.catalog.delete_job(project_id, job_id, not_found_ok=True)

    async def wait(self, project_id: str, job_id: str, seconds: float) -> None:
        """Wait until a job ends, or `seconds` pass. What became of it is in the catalog."""
        job = self._jobs.get((project_id, job_id))
        if job is not None:
            await asyncio.wait({asyncio.wrap_future(job.done)}, timeout=seconds)

    def cancel(self, project_id: str, job_id: str) -> None:
        """Stop a job that is queued or running; one that ended stays as it is."""
        job = self._jobs.get((project_id, job_id))
        if job is not None and not job.cancelled:
            job.cancelled = True
            threading.Thread(target=_interrupt, args=(job,), daemon=True).start()

    def stop(self) -> None:
        """Cancel every job and take no more."""
        for project_id, job_id in list(self._jobs):
            self.cancel(project_id, job_id)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def check_cancelled(self) -> None:
        """Raise if the job that calls this, on its own thread, was cancelled."""
        if self._current is not None and self._current.cancelled:
            raise InvalidQueryError(CANCELLED["message"])

    def begin_transaction(self, context: AppContext) -> bool:
        """On a job's thread: make its statement and its record one transaction. False if it is in one already."""
        job = self._current
        if job is None or job.in_transaction:
            return False
        context.engine.execute("BEGIN TRANSACTION")
        job.in_transaction = True
        return True

    def roll_back(self, context: AppContext) -> None:
        """On a job's thread: undo what `begin_transaction` began."""
        self._current.in_transaction = False
        context.engine.execute("ROLLBACK")

    def _run(self, context: AppContext, job: _Job, configuration: dict[str, Any], work: Work) -> None:
        try:
            self._work(context, job, work)
        except BaseException as error:
            refusal = error if isinstance(error, DomainError) else translate_runtime_error(error)
            result = {"reason": refusal.bq_reason, "message": refusal.message}
            context.catalog.upsert_job(_record(context, job.project_id, job.job_id, configuration, "DONE", result))
        finally:
            record = context.catalog.get_job(job.project_id, job.job_id)
            if job.cancelled and record.error_result:
                context.catalog.upsert_job(record.model_copy(update={"error_result": CANCELLED}))
            del self._jobs[job.project_id, job.job_id]

    def _work(self, context: AppContext, job: _Job, work: Work) -> dict[str, Any]:
        with fresh_connection(context.engine) as connection:
            self._current = job
            try:
                self.check_cancelled()
                job.connection = connection
                response = asyncio.run(work())
                if job.in_transaction:
                    connection.commit()
                return response
            finally:
                with job.interrupting:
                    job.connection = None
                self._current = None


def _interrupt(job: _Job) -> None:
    """Interrupt again and again: one interrupt is lost when it falls between two statements."""
    while not job.done.done():
        with job.interrupting:
            if job.connection is not None:
                job.connection.interrupt()
        threading.Event().wait(_INTERRUPT_EVERY_SECONDS)


def _record(
    context: AppContext,
    project_id: str,
    job_id: str,
    configuration: dict[str, Any],
    state: str,
    error: dict[str, Any] | None,
) -> JobMeta:
    now = context.clock.now()
    job_type = next((name.upper() for name in _JOB_TYPES if name in configuration), None)
    if job_type is None:
        raise InvalidQueryError(f"The job's configuration must have one of {', '.join(_JOB_TYPES)}.")
    return JobMeta(
        project_id=project_id,
        job_id=job_id,
        job_type=job_type,
        state=state,
        configuration=configuration,
        error_result=error,
        creation_time=now,
        start_time=now,
        end_time=now if state == "DONE" else None,
        etag=job_routes.generate_etag(project_id, job_id, str(now)),
    )


runner = JobRunner()
