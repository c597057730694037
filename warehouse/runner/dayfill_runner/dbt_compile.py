"""Compiles a dbt project once for each set of vars, in one process, and tells the SELECT of every model, snapshot and test."""

import json
import sys

from .dbt_shortcuts import ANYWHERE, take
from .output import json_lines_on_stdout, one_line

_TOLD = ("model", "snapshot", "test")


def main() -> int:
    """Read `{"options": […], "selection": […], "vars": [{…}, …]}` from stdin; tell an event for each of the vars, in order."""
    from dbt.cli.main import dbtRunner

    _, emit = json_lines_on_stdout()
    take(ANYWHERE)
    ask = json.load(sys.stdin)
    for given in ask["vars"]:
        outcome = dbtRunner().invoke(["compile", *ask["options"], "--vars", json.dumps(given), *ask["selection"]])
        if outcome.result is None:
            emit({"event": "refused", "message": one_line(outcome.exception)})
            continue
        results = [result for result in outcome.result.results if result.node.resource_type in _TOLD]
        emit(
            {
                "event": "compiled",
                "statements": [{"id": result.node.unique_id, "sql": result.node.compiled_code} for result in results if result.node.compiled_code],
                "failed": [result.node.unique_id for result in results if not result.node.compiled_code],
            }
        )
    return 0
