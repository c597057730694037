"""Where the protection stands in dbt and in BigQuery's client; put there once per process."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbt.artifacts.schemas.results import NodeStatus
from dbt.task.base import ConfiguredTask
from dbt.task.runnable import GraphRunnableTask
from google.cloud.bigquery import Client
from google.cloud.bigquery._http import Connection

from dbt_protection.guard import Guard
from dbt_protection.look_ahead import full_name, look_ahead
from dbt_protection.relations import by_lower_case
from dbt_protection.requests import judge_request

# sql_guard reads BigQuery's SQL, for fixes too.
WAREHOUSE = Path(__file__).parents[2]
# They keep what they had: their tables are not made anew from their sources.
LASTING = ("incremental", "snapshot")

_guard: Guard | None = None


def protect(guard: Guard | None) -> None:
    """Puts a guard in charge of all that dbt does in this process, until the next one; None for nobody."""
    global _guard
    _guard = guard
    if guard is not None and not hasattr(Connection.api_request, "__wrapped__"):
        install()


def install() -> None:
    sys.path.append(str(WAREHOUSE))
    around(ConfiguredTask, "__init__", configured)
    around(GraphRunnableTask, "execute_with_hooks", executed)
    around(Connection, "api_request", requested)
    for upload in ("_do_resumable_upload", "_do_multipart_upload"):
        around(Client, upload, uploaded)


def around(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    """Has a method run by way of `wrapper(guard, method, self, …)` while a guard is in charge."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _guard is None:
            return method(self, *args, **kwargs)
        return wrapper(_guard, method, self, *args, **kwargs)

    setattr(owner, name, wrapped)


def configured(guard: Guard, method: Callable[..., None], task: ConfiguredTask, *args: Any, **kwargs: Any) -> None:
    """Every command of dbt that has a project begins so; from here on it is known what is protected."""
    method(task, *args, **kwargs)
    guard.protected.target = task.config.target_name
    if task.manifest is not None:
        guard.protected.incremental = by_lower_case(
            full_name(node) for node in task.manifest.nodes.values() if is_lasting(node)
        )


def executed(guard: Guard, method: Callable[..., Any], task: GraphRunnableTask, selected: Any) -> Any:
    look_ahead(guard, task, selected)
    result = method(task, selected)
    for each in result.results:
        if each.status == NodeStatus.Success and is_lasting(each.node) and full_name(each.node) in guard.protected:
            guard.report({"built": full_name(each.node)})
    return result


def is_lasting(node: Any) -> bool:
    return node.is_relational and node.config.get("materialized") in LASTING


def requested(guard: Guard, method: Callable[..., Any], connection: Connection, /, **request: Any) -> Any:
    judge_request(guard, connection._client, request["method"], request.get("path", ""), request.get("data"))
    return method(connection, **request)


def uploaded(
    guard: Guard, method: Callable[..., Any], client: Client, stream: Any, metadata: Any, *args: Any, **kwargs: Any
) -> Any:
    judge_request(guard, client, "POST", "/jobs", metadata)
    return method(client, stream, metadata, *args, **kwargs)
