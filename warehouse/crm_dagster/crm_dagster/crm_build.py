"""Runs the dbt build of the CRM for one day, in this process: killing the run kills the build with it."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from dbt.cli.main import dbtRunner
from dbt_common.events.base_types import EventMsg

PROJECT = Path(__file__).parents[2] / "crm"

Progress = Callable[[int, str], None]


class BuildFailed(Exception):
    """The build ran and something in it failed; the message names each failed test and model."""


def build_crm_day(client: str, project_id: str, partition_key: str, progress: Progress) -> dict[str, int]:
    """Build the day and return how many nodes ended in each status.

    `progress` is called with (nodes done, name of the node) as each ends. Raises BuildFailed.
    """
    variables = {"client": client, "project_id": project_id, "partition_key": partition_key}
    arguments = ["build", "--target=oauth", f"--project-dir={PROJECT}", f"--profiles-dir={PROJECT}", f"--vars={json.dumps(variables)}"]
    for option, name in (("--target-path", "DBT_TARGET_PATH"), ("--log-path", "DBT_LOG_PATH")):
        # A folder of its own below the given one: what lies above may belong to a build of another project.
        if os.environ.get(name):
            arguments.append(f"{option}={Path(os.environ[name]).absolute() / 'crm'}")

    done = 0

    def count(event: EventMsg) -> None:
        nonlocal done
        if event.info.name == "NodeFinished":
            done += 1
            # dbt takes an error in a callback for one of the node: no report of progress is worth a failed test.
            with contextlib.suppress(Exception):
                progress(done, event.data.node_info.node_name)

    outcome = dbtRunner(callbacks=[count]).invoke(arguments)
    if outcome.exception:
        raise BuildFailed(f"dbt could not build the CRM for {partition_key}: {_first_lines(str(outcome.exception))}")
    statuses: dict[str, int] = {}
    failures = []
    for result in outcome.result:
        status = str(result.status)
        statuses[status] = statuses.get(status, 0) + 1
        if status == "fail":
            failures.append(f"Failure in test {result.node.name} ({result.failures} rows)")
        elif status == "error":
            failures.append(f"Error in {result.node.resource_type} {result.node.name}: {_first_lines(result.message or '')}")
    if not outcome.success:
        raise BuildFailed("; ".join(sorted(failures)) or f"dbt did not build the CRM for {partition_key}.")
    return statuses


def _first_lines(message: str) -> str:
    return " ".join(message.split())[:500]
