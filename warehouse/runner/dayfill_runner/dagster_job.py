"""Runs a Dagster job in this process and tells what happens as events; README.md lists them.

Imports Dagster and the standard library only, because it runs in whatever environment the project has.
"""

import argparse
import importlib
import json
import os
import queue
import signal
import sys
import threading
import traceback
import uuid
from collections.abc import Mapping
from typing import Any

from .dagster_storage import held_open
from .output import Emit, json_lines_on_stdout, one_line

KEY_TAG = "dayfill/key"


class NothingRan(Exception):
    """The request can't be carried out; `kind` says of which sort the trouble is."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def load_job(module_name: str, job_name: str) -> Any:
    """Import the module and return its job. Raises NothingRan (`import_error`, `missing_job`)."""
    from dagster import Definitions, RepositoryDefinition

    try:
        module = importlib.import_module(module_name)
    except BaseException as error:
        traceback.print_exc()
        if isinstance(error, KeyboardInterrupt):
            raise
        raise NothingRan("import_error", f"The module {module_name} cannot be imported in {os.getcwd()}: {one_line(error)}") from error
    for value in vars(module).values():
        # The @definitions decorator leaves a function-like object that makes the definitions when called.
        if type(value).__name__ == "LazyDefinitions":
            value = value()
        if isinstance(value, Definitions):
            value = value.get_repository_def()
        if isinstance(value, RepositoryDefinition):
            if value.has_job(job_name):
                return value.get_job(job_name)
            known = ", ".join(sorted(name for name in value.job_names if not name.startswith("__"))) or "no job"
            raise NothingRan("missing_job", f"The module {module_name} has no job {job_name}; it defines {known}.")
    raise NothingRan("missing_job", f"The module {module_name} has no Dagster definitions.")


def close_abandoned_runs(instance: Any, key: str) -> None:
    """Mark the unfinished runs with this key as canceled: the process that ran them is gone."""
    from dagster import DagsterRunStatus, RunsFilter

    unfinished = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    for run in instance.get_runs(filters=RunsFilter(tags={KEY_TAG: key}, statuses=unfinished)):
        instance.report_run_canceled(run, message="The process of this run is gone; dayfill runs the step again.")


def run_job(instance: Any, job: Any, tags: Mapping[str, str], run_id: str, emit: Emit) -> dict[str, Any]:
    """Run the job to its end, telling its progress, and return the `result` event."""
    instance.add_event_listener(run_id, _Progress(instance, run_id, emit))
    # A partitioned job gets the configuration of its partition too; one without partitions keeps the tag only.
    partition = tags.get("dagster/partition") if job.partitions_def else None
    crash = None
    try:
        job.execute_in_process(instance=instance, tags=dict(tags), partition_key=partition, run_id=run_id, raise_on_error=False)
    except Exception as error:  # the run did not get as far as its steps: a bad configuration, a resource that can't start
        traceback.print_exc()
        crash = one_line(error)
    return read_result(instance, run_id, crash)


def read_result(instance: Any, run_id: str, crash: str | None) -> dict[str, Any]:
    """Read the `result` event of a finished run from Dagster's event log; `crash` is what kept the run from its steps."""
    from dagster import DagsterEventType, DagsterRunStatus

    failures: list[dict[str, str | None]] = []
    run_failure = None
    counts: dict[str, int | float] = {}
    for entry in instance.all_logs(run_id):
        event = entry.dagster_event
        if event is None:
            continue
        if event.event_type == DagsterEventType.STEP_FAILURE:
            failures.append({"step": event.step_key, "message": _step_failure(event.step_failure_data)})
        elif event.event_type == DagsterEventType.RUN_FAILURE:
            run_failure = event.message or "The run failed."
        else:
            counts |= _counts(event)
    run = instance.get_run_by_id(run_id)
    success = crash is None and run is not None and run.status == DagsterRunStatus.SUCCESS
    if not success and not failures:
        failures.append({"step": None, "message": crash or run_failure or "The run ended without success."})
    return {"event": "result", "runId": run_id, "success": success, "failures": failures, "counts": counts}


class _Progress:
    """Listens to a run's events and tells how many of its steps are done, and at what the run is."""

    def __init__(self, instance: Any, run_id: str, emit: Emit) -> None:
        self.instance, self.run_id, self.emit = instance, run_id, emit
        self.done, self.total = 0, 0

    def __call__(self, entry: Any) -> None:
        from dagster import DagsterEventType

        event = entry.dagster_event
        if event is None:
            return
        current = event.step_key
        if event.event_type == DagsterEventType.RUN_START:
            run = self.instance.get_run_by_id(self.run_id)
            self.total = len(self.instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute)
            return
        if event.event_type in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_SKIPPED):
            self.done += 1
        elif event.event_type in (DagsterEventType.ASSET_OBSERVATION, DagsterEventType.ASSET_MATERIALIZATION):
            current = f"{event.step_key} · {event.asset_key.path[-1]}"
        elif event.event_type != DagsterEventType.STEP_START:
            return
        self.emit({"event": "progress", "done": self.done, "total": self.total, "current": current})


def _step_failure(data: Any) -> str:
    # A step that raised dagster.Failure says why in its description; any other error comes wrapped in one of Dagster's.
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    if error and error.cause and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    return " ".join(error.message.split()) if error else "The step failed."


def _counts(event: Any) -> dict[str, int | float]:
    from dagster import DagsterEventType

    if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
        metadata = event.materialization.metadata
    elif event.event_type == DagsterEventType.STEP_OUTPUT:
        metadata = event.step_output_data.metadata
    else:
        return {}
    values = {name: entry.value for name, entry in metadata.items()}
    return {name: value for name, value in values.items() if isinstance(value, int | float) and not isinstance(value, bool)}


def perform(instance: Any, job: Any, tags: dict[str, str], run_id: str, emit: Emit) -> int:
    """Run the job, telling how it begins and ends; returns the exit code. Runs that a dead process left under the same key are closed."""
    if os.environ.get("DAYFILL_KEY"):
        tags.setdefault(KEY_TAG, os.environ["DAYFILL_KEY"])
    if KEY_TAG in tags:
        close_abandoned_runs(instance, tags[KEY_TAG])
    emit({"event": "run", "runId": run_id})
    with held_open(instance.root_directory):
        result = run_job(instance, job, tags, run_id, emit)
    emit(result)
    return 0 if result["success"] else 1


def tell_error(error: Exception, emit: Emit) -> int:
    """Tell why there is no run; returns the exit code."""
    if isinstance(error, NothingRan):
        emit({"event": "error", "kind": error.kind, "message": str(error)})
    else:
        traceback.print_exc()
        emit({"event": "error", "kind": "dagster_error", "message": f"Dagster could not run the job: {one_line(error)}"})
    return 2


def cancel(instance: Any, run_id: str, emit: Emit) -> int:
    """Mark the run as canceled, if it has begun; returns the exit code."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_canceled(run, message="dayfill was told to stop this run.")
    emit({"event": "canceled", "runId": run_id})
    return 143


def _tags(text: str) -> dict[str, str]:
    try:
        tags = json.loads(text)
    except ValueError:
        tags = None
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise NothingRan("bad_request", "--tags must be a JSON object of strings.")
    return tags


def main(arguments: list[str]) -> int:
    """Run the job of the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="run.py dagster-job", description="Run one Dagster job and tell what happens as JSON lines.")
    parser.add_argument("--module", required=True, help="module with the Dagster definitions")
    parser.add_argument("--job", required=True, help="name of the job")
    parser.add_argument("--tags", default="{}", help="JSON object of run tags; dagster/partition names the partition")
    options = parser.parse_args(arguments)
    _, emit = json_lines_on_stdout()
    # Dagster and dbt are left to a thread of their own, so that this one is always free to answer a signal.
    inbox: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    outcome: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: inbox.put(received))
    run_id = str(uuid.uuid4())

    def work() -> None:
        try:
            tags = _tags(options.tags)
            sys.path.insert(0, os.getcwd())
            from dagster import DagsterInstance

            job = load_job(options.module, options.job)
            with DagsterInstance.get() as instance:
                outcome.append(perform(instance, job, tags, run_id, emit))
        except Exception as error:
            outcome.append(tell_error(error, emit))
        finally:
            inbox.put(None)

    threading.Thread(target=work, name="job", daemon=True).start()
    if inbox.get() is None:
        return outcome[0]
    from dagster import DagsterInstance

    with DagsterInstance.get() as instance:
        return cancel(instance, run_id, emit)
