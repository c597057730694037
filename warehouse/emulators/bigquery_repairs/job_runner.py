"""Run jobs one after another on a thread of their own, so that the server answers meanwhile; dry runs on another.

Stock runs a job inside the request that brings it and blocks every other request until it ends:
no status, no cancel, no time-out, no health check during a long query. Bytes and slots are absent.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import bqemulator.api.routes.jobs as job_routes
import duckdb
from bqemulator.api.dependencies import AppContext
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import AlreadyExistsError, DomainError, InvalidQueryError, ValidationError
from bqemulator.jobs.error_mapper import translate_runtime_error

from .connections import fresh_connection

_CANCELLED = "Job execution was cancelled: User requested cancellation"
_JOB_TYPES = ("query", "load", "extract", "copy")
_INTERRUPT_EVERY_SECONDS = 0.05

Work = Callable[[], Awaitable[dict[str, Any]]]


@dataclass
class Job:
    """A job that is queued or running; `costs` keeps its bytes."""

    context: AppContext
    project_id: str
    job_id: str
    dry: bool = False
    maximum_bytes_billed: int | None = None
    bytes_processed: int = 0
    bytes_billed: int = 0
    connection: duckdb.DuckDBPyConnection | None = None
    in_transaction: bool = False
    stopped: str | None = None
    """Why it is to end early, in BigQuery's words."""
    cpu_seconds_before: float | None = None
    interrupting: threading.Lock = field(default_factory=threading.Lock)
    done: "Future[None]" = field(default_factory=Future)

    def statistics(self) -> dict[str, Any]:
        """What it cost so far, as in a job's `statistics` and their `query`."""
        before = self.cpu_seconds_before
        # One job runs at a time, so what this process works is its work; a slot is a core.
        slot_ms = 0 if before is None or self.dry else max(1, round((time.process_time() - before) * 1000))
        processed = {"totalBytesProcessed": str(self.bytes_processed), "totalSlotMs": str(slot_ms)}
        billed = {"totalBytesBilled": str(0 if self.dry else self.bytes_billed)}
        return {**processed, "query": {**processed, **billed}}


class JobRunner:
    """The queue of jobs. Its methods are called from the server's thread, except where noted."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="job")
        # Dry runs change nothing and end at once: they need not wait for jobs.
        self._dry_pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dry-run")
        self._jobs: dict[tuple[str, str], Job] = {}
        self._of_thread = threading.local()

    def start(
        self, context: AppContext, project_id: str, job_id: str, configuration: dict[str, Any], work: Work
    ) -> None:
        """Reserve the id and queue the job. `work` runs it and records its end.

        Raises AlreadyExistsError (409) when the id was used before, even if that job still runs.
        """
        if context.catalog.get_job(project_id, job_id) is not None:
            raise AlreadyExistsError(f"Already Exists: Job {project_id}:US.{job_id}")
        maximum_bytes_billed = _int64(configuration.get("query", {}), "maximumBytesBilled")
        timeout_ms = _int64(configuration, "jobTimeoutMs") or 0
        # In memory only: after a crash a job that had not ended is unknown, and did nothing unless it was a script.
        context.catalog._cache.upsert_job(_record(context, project_id, job_id, configuration))
        job = Job(context, project_id, job_id, maximum_bytes_billed=maximum_bytes_billed)
        self._jobs[project_id, job_id] = job
        job.done = self._pool.submit(self._run, job, work)
        if timeout_ms > 0:
            reason = f"Job execution was cancelled: Job timed out after {timeout_ms / 1000:g}s"
            server = asyncio.get_running_loop()
            timer = server.call_later(timeout_ms / 1000, self._stop, job, reason)
            job.done.add_done_callback(lambda _: server.call_soon_threadsafe(timer.cancel))

    async def dry_run(self, context: AppContext, project_id: str, job_id: str, work: Work) -> dict[str, Any]:
        """Run `work` beside the jobs and forget it."""
        job = Job(context, project_id, job_id, dry=True)
        try:
            return await asyncio.wrap_future(self._dry_pool.submit(self._work, job, work))
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
        if job is not None:
            self._stop(job, _CANCELLED)

    def _stop(self, job: Job, reason: str) -> None:
        if job.stopped is not None:
            return
        job.stopped = reason
        if job.done.cancel():  # it was still waiting for its turn
            self._end(job, reason="stopped", message=job.stopped)
            del self._jobs[job.project_id, job.job_id]
        else:
            threading.Thread(target=_interrupt, args=(job,), daemon=True).start()

    def stop(self) -> None:
        """Cancel every job and take no more."""
        for project_id, job_id in list(self._jobs):
            self.cancel(project_id, job_id)
        for pool in (self._pool, self._dry_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    def current(self) -> Job | None:
        """The job that this thread runs."""
        return getattr(self._of_thread, "job", None)

    def check_stopped(self) -> None:
        """Raise if the job that calls this, on its own thread, is to end early."""
        job = self.current()
        if job is not None and job.stopped:
            raise InvalidQueryError(job.stopped)

    def begin_transaction(self, context: AppContext) -> bool:
        """On a job's thread: make its statement and its record one transaction. False if it is in one already."""
        job = self.current()
        if job is None or job.in_transaction:
            return False
        context.engine.execute("BEGIN TRANSACTION")
        job.in_transaction = True
        return True

    def roll_back(self, context: AppContext) -> None:
        """On a job's thread: undo what `begin_transaction` began."""
        self.current().in_transaction = False
        context.engine.execute("ROLLBACK")

    def as_seen(self, record: JobMeta) -> JobMeta:
        """A job's record with what it has cost so far, where it has not ended."""
        job = self._jobs.get((record.project_id, record.job_id))
        return record if job is None or record.state == "DONE" else with_statistics(record, job)

    def ended(self, record: JobMeta) -> JobMeta:
        """On a job's thread: the record of its end, with its cost and since when it was queued and ran."""
        job = self.current()
        began = job.context.catalog.get_job(job.project_id, job.job_id)
        times = {"creation_time": began.creation_time, "start_time": began.start_time}
        return with_statistics(record, job).model_copy(update=times)

    def _run(self, job: Job, work: Work) -> None:
        catalog = job.context.catalog
        try:
            self._work(job, work)
        except BaseException as error:
            refusal = error if isinstance(error, DomainError) else translate_runtime_error(error)
            self._end(job, reason=refusal.bq_reason, message=refusal.message)
        finally:
            record = catalog.get_job(job.project_id, job.job_id)
            if job.stopped and record.error_result:
                error_result = {"reason": "stopped", "message": job.stopped}
                catalog.upsert_job(record.model_copy(update={"error_result": error_result}))
            del self._jobs[job.project_id, job.job_id]

    def _end(self, job: Job, **error_result: str) -> None:
        record = with_statistics(job.context.catalog.get_job(job.project_id, job.job_id), job)
        end = {"state": "DONE", "error_result": error_result, "end_time": job.context.clock.now()}
        job.context.catalog.upsert_job(record.model_copy(update=end))

    def _event_loop(self) -> asyncio.Runner:
        """That of this thread: to make one takes longer than many a statement."""
        if not hasattr(self._of_thread, "event_loop"):
            self._of_thread.event_loop = asyncio.Runner()
        return self._of_thread.event_loop

    def _work(self, job: Job, work: Work) -> dict[str, Any]:
        with fresh_connection(job.context.engine) as connection:
            self._of_thread.job = job
            try:
                self.check_stopped()
                job.connection = connection
                job.cpu_seconds_before = time.process_time()
                _mark_running(job)
                response = self._event_loop().run(work())
                if job.in_transaction:
                    connection.commit()
                return response
            finally:
                with job.interrupting:
                    job.connection = None
                self._of_thread.job = None


def with_statistics(record: JobMeta, job: Job) -> JobMeta:
    """A job's record with what it has cost."""
    costs = job.statistics()
    query = {**record.statistics.get("query", {}), **costs["query"]}
    return record.model_copy(update={"statistics": {**record.statistics, **costs, "query": query}})


def _int64(configuration: dict[str, Any], name: str) -> int | None:
    value = configuration.get(name)
    try:
        return None if value is None else int(value)
    except ValueError:
        raise ValidationError(f"Invalid value for {name}: {value} is not an integer.") from None


def _mark_running(job: Job) -> None:
    record = job.context.catalog.get_job(job.project_id, job.job_id)
    if record is not None:  # a dry run has none
        running = {"state": "RUNNING", "start_time": job.context.clock.now()}
        job.context.catalog._cache.upsert_job(record.model_copy(update=running))


def _interrupt(job: Job) -> None:
    """Interrupt again and again: one interrupt is lost when it falls between two statements."""
    while not job.done.done():
        with job.interrupting:
            if job.connection is not None:
                job.connection.interrupt()
        threading.Event().wait(_INTERRUPT_EVERY_SECONDS)


def _record(context: AppContext, project_id: str, job_id: str, configuration: dict[str, Any]) -> JobMeta:
    """A job that waits for its turn."""
    now = context.clock.now()
    job_type = next((name.upper() for name in _JOB_TYPES if name in configuration), None)
    if job_type is None:
        raise InvalidQueryError(f"The job's configuration must have one of {', '.join(_JOB_TYPES)}.")
    return JobMeta(
        project_id=project_id,
        job_id=job_id,
        job_type=job_type,
        state="PENDING",
        configuration=configuration,
        creation_time=now,
        etag=job_routes.generate_etag(project_id, job_id, str(now)),
    )


runner = JobRunner()
