"""From a request to its answer."""

from datetime import date
from typing import Any

from sqlglot import exp

from sql_guard.bounds import Partition
from sql_guard.queries import checked_query
from sql_guard.refusal import Refusal
from sql_guard.rules import Read, read, refuse_late_creates, without_transaction
from sql_guard.tables import Allowed, TableName, spliced, tables_of
from sql_guard.text import Statement, statements_of

# The token of the hand-made scripts that dayfill replaces; new files use @partition.
LEGACY_DATE = "PLACEHOLDER_DATE"


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """`{refusal}`, or `{statements, tests}`, or `{query}` of a text that is to read only; README.md says what is in them."""
    try:
        return checked_query(request["query"]) if "query" in request else checked(request)
    except Refusal as refusal:
        return {"refusal": str(refusal)}
    except (RecursionError, MemoryError):
        return {"refusal": "The SQL nests too deep to be read: write it in simpler parts."}
    except Exception as error:  # A text that breaks the reader is no text to run.
        return {"refusal": f"The SQL cannot be read ({type(error).__name__}): write it more plainly."}


def checked(request: dict[str, Any]) -> dict[str, Any]:
    bounds = request["partition"]
    partition = Partition(date.fromisoformat(bounds["start"]), date.fromisoformat(bounds["end"]))
    allowed = Allowed(request["project"], request["dataset"], tuple(request["datasets"]))
    text = request["sql"].replace(LEGACY_DATE, bounds["start"])
    statements = without_transaction(statements_of(text))
    reads = [read(statement, allowed, request["creates"], partition) for statement in statements]
    refuse_late_creates(reads)
    scratch = scratch_names({each.table for each in reads}, allowed.project, request["scratch"])
    return {
        "statements": [told(each, scratch) for each in reads],
        "tests": [test_on(test, allowed, scratch) for test in request["tests"]],
    }


# Before the prefix of a copy: the view of the whole table, with the copy in place of the partition's rows.
WHOLE = "whole_"


def scratch_names(changed: set[str], project: str, scratch: dict[str, str] | None) -> dict[str, str] | None:
    """Where a rehearsal has its copies of the tables that are changed."""
    if scratch is None:
        return None
    dataset, prefix = scratch["dataset"], scratch["prefix"]
    return {table: f"{project}.{dataset}.{prefix}{'__'.join(table.split('.')[1:])}" for table in changed}


def told(each: Read, scratch: dict[str, str] | None) -> dict[str, Any]:
    here = dict(enumerate(each.names))
    elsewhere = dict(here)
    for index, name in enumerate(each.names):
        node = each.tables[index].node
        # What a table was at some time is read from the table itself.
        if scratch is None or name not in scratch or node.args.get("version"):
            continue
        is_read = index != each.target and not isinstance(node.parent, exp.LikeProperty)
        elsewhere[index] = whole(scratch[name]) if is_read else scratch[name]
    return {
        "kind": each.kind,
        "table": each.table,
        "line": each.statement.line,
        "sql": rewritten(each.statement, each.tables, here),
        "scratchSql": rewritten(each.statement, each.tables, elsewhere) if scratch is not None else None,
        "reads": sorted({name for index, name in enumerate(each.names) if index != each.target}),
        "bound": each.bound,
        "assigns": each.assigns,
        "created": each.created,
    }


def whole(copy: str) -> str:
    project, dataset, name = copy.split(".", 2)
    return f"{project}.{dataset}.{WHOLE}{name}"


def rewritten(statement: Statement, tables: list[TableName], names: dict[int, str]) -> str:
    """The statement with other names for some tables; what comes out is read again, to be sure of it."""
    sql = spliced(statement, tables, names)
    expected = [names.get(index, table.table) for index, table in enumerate(tables)]
    again = statements_of(sql)
    if len(again) != 1 or type(again[0].tree) is not type(statement.tree):
        raise Refusal(f"line {statement.line}: the names of its tables cannot be replaced: write `project.dataset.table`.")
    if [table.table for table in tables_of(again[0])] != expected:
        raise Refusal(f"line {statement.line}: the names of its tables cannot be replaced: write `project.dataset.table`.")
    return sql


def test_on(test: dict[str, Any], allowed: Allowed, scratch: dict[str, str] | None) -> str | None:
    """A test's SQL on other tables; None when it cannot be read."""
    try:
        (statement,) = statements_of(test["sql"])
        if not isinstance(statement.tree, exp.Query):
            return None
        tables = tables_of(statement)
    except (Refusal, ValueError):
        return None
    names = {}
    for index, table in enumerate(tables):
        name = fully_named(table.table, allowed)
        name = test["tables"].get(name, name)
        name = (scratch or {}).get(name, name)
        if name != table.table:
            names[index] = name
    try:
        return rewritten(statement, tables, names)
    except Refusal:
        return None


def fully_named(table: str, allowed: Allowed) -> str:
    parts = table.split(".")
    if len(parts) == 1 and allowed.dataset is not None:
        parts = [allowed.dataset, *parts]
    return ".".join([allowed.project, *parts] if len(parts) == 2 else parts)
