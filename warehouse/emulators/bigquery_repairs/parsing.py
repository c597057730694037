"""Parse the same text once.

Stock parses one statement some fifteen times over, mostly to see that it is not of the kind that a step looks
for, and sqlglot parses its own templates anew for every statement that it writes: two thirds of the time of a job.
Here whoever only looks shares one tree, and whoever may change it gets a copy.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import bqemulator.catalog.ddl_sync as ddl_sync
import bqemulator.jobs.ddl_result as ddl_result
import bqemulator.jobs.executor as executor
import bqemulator.jobs.routine_ddl as routine_ddl
import bqemulator.scripting.interpreter as interpreter
import bqemulator.sql.catalog_schema as catalog_schema
import bqemulator.sql.inner_query as inner_query
import sqlglot

_parse_one = sqlglot.parse_one


@lru_cache(maxsize=512)
def _tree(sql: str, read: str | None, into: type[sqlglot.Expr] | None) -> sqlglot.Expr:
    return _parse_one(sql, read=read, into=into)


def _remembered(sql: str, read: str | None, into: type[sqlglot.Expr] | None = None) -> sqlglot.Expr:
    # The cache takes a text for another where an argument is left out or named.
    return _tree(sql, read, into)


def _copied(sql: str, read: Any = None, into: Any = None, **options: Any) -> sqlglot.Expr:
    # DuckDB's SQL is written by one step and read by the next: a copy for later would cost as much as parsing it again.
    if options or read == "duckdb" or not isinstance(read, str | None) or not isinstance(into, type | None):
        return _parse_one(sql, read=read, into=into, **options)
    tree = _remembered(sql, read, into)
    # Without a dialect it is one of sqlglot's own templates, which it copies where it fills them in.
    return tree if read is None else tree.copy()


def _classified(sql: str) -> sqlglot.Expr | None:
    """Stock's `_parse_for_classification`: what does not parse has no class."""
    try:
        return _remembered(sql, "bigquery")
    except sqlglot.errors.SqlglotError:
        return None


@lru_cache(maxsize=2048)
def _changed_tables(sql: str, project_id: str) -> tuple[tuple[str, str, str], ...]:
    """The tables that the text, if it is DML, changes."""
    tree = _classified(sql)
    return tuple(executor._dml_target_tables(tree, project_id)) if tree is not None and executor._is_dml(tree) else ()


@lru_cache(maxsize=2048)
def _tables_named(sql: str) -> tuple[tuple[str, str, str], ...]:
    """Project (or nothing), dataset and name of each table in the text."""
    tree = _classified(sql)
    found = () if tree is None else tree.find_all(sqlglot.exp.Table)
    return tuple({(table.catalog, table.db, table.name) for table in found})


def install() -> None:
    """Replace sqlglot's `parse_one`, for those who only look by one that does not copy."""
    sqlglot.parse_one = _copied
    looking = SimpleNamespace(errors=sqlglot.errors, parse_one=_remembered)
    for module in (ddl_sync, ddl_result, routine_ddl, catalog_schema):
        module.sqlglot = looking
    executor._parse_for_classification = _classified
    reject = executor._reject_dml_on_immutable

    def reject_dml(project_id: str, sql: str, context: Any) -> None:
        tables = [context.catalog.get_table(*table) for table in _changed_tables(sql, project_id)]
        if any(table and table.table_type in {"SNAPSHOT", "MATERIALIZED_VIEW"} for table in tables):
            reject(project_id, sql, context)

    async def tell_change(project_id: str, sql: str, context: Any) -> None:
        for table in _changed_tables(sql, project_id):
            if context.catalog.get_table(*table) is not None:
                async with context.engine.write_lock():
                    context.snapshots.record_change(*table)

    restrict = inner_query.rewrite_for_row_access

    def restrict_if_need_be(sql: str, *, project_id: str, caller: Any, catalog: Any) -> str:
        # Nothing to be put in place of a view's name, or around a table's: no tree to be changed.
        tables = [catalog.get_table(project or project_id, *names) for project, *names in _tables_named(sql)]
        if any(table and table.table_type == "VIEW" for table in tables) or catalog.list_all_row_access_policies():
            return restrict(sql, project_id=project_id, caller=caller, catalog=catalog)
        return sql

    inner_query.rewrite_for_row_access = restrict_if_need_be
    executor._reject_dml_on_immutable, executor._capture_dml_snapshots = reject_dml, tell_change
    interpreter._is_row_producing = lambda sql: isinstance(_classified(sql), sqlglot.exp.Query)
