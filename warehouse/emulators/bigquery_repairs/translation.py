"""Translate to DuckDB what stock translates wrongly or not at all.

| BigQuery | stock | here |
| --- | --- | --- |
| NUMERIC | DECIMAL(18, 3): digits lost | DECIMAL(38, 9) |
| date_trunc(d, week(monday)) and isoweek | the Sunday | the Monday |
| array_agg(distinct x ignore nulls) | keeps the null | drops it |
| create table t (a int64) as (select …) | syntax error | works |
| a column called at, check, show … | syntax error | works |
| update t set t.a = 1 | syntax error | works |
| merge … then insert row | syntax error | works |
| merge … on false | each row is compared with each other | none is |
| partition by date(ts), timestamp_trunc(ts, day) | no timePartitioning | as with a column |
| from `dataset.name_*` where a table's name has a "-" | syntax error | works |
| @name inside a string or a comment | taken for a parameter | left alone |
"""

import re
from types import SimpleNamespace
from typing import Any

import bqemulator.catalog.ddl_sync as ddl_sync
import bqemulator.sql.inner_query as inner_query
import bqemulator.sql.parameters as parameters
import bqemulator.sql.translator as translator
import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

_WORTH_PARSING = re.compile(
    r"\b(NUMERIC|DECIMAL|IGNORE\s+NULLS|WEEK\s*\(|ISOWEEK|CREATE\s|UPDATE\s|ON\s+FALSE)", re.IGNORECASE
)
_CREATES = re.compile(r"\bCREATE\s", re.IGNORECASE)
# Words that DuckDB reserves, BigQuery does not, and sqlglot does not know to quote.
_RESERVED_BY_DUCKDB = (
    "anti asof at authorization binary check collation concurrently describe freeze isnull lambda overlaps pivot "
    "pivot_longer pivot_wider positional semi show similar summarize unpack unpivot verbose"
).split()
_MONDAY_WEEKS = {"WEEK(MONDAY)", "ISOWEEK"}
# Text of DuckDB or BigQuery SQL in which nothing is to be looked for.
QUOTED_OR_COMMENT = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|/\*.*?\*/|--[^\n]*"
_BARE_DECIMAL = re.compile(rf"(?P<skip>{QUOTED_OR_COMMENT})|\bDECIMAL\b(?!\s*\()", re.DOTALL)
_INSERT_ROW = re.compile(rf"(?P<skip>{QUOTED_OR_COMMENT})|\bTHEN\s+INSERT\s+ROW\b", re.DOTALL | re.IGNORECASE)
_WILDCARD_WITHOUT_PROJECT = re.compile(r"`(\w+\.\w+\*)`")
_PARAMETER = re.compile(rf"(?P<skip>{QUOTED_OR_COMMENT})|[@$](?P<name>\w+)", re.DOTALL)


def _widen_numeric(tree: exp.Expression) -> bool:
    """NUMERIC without a precision has 38 digits, 9 of them after the point."""
    bare = [t for t in tree.find_all(exp.DataType) if t.this is exp.DataType.Type.DECIMAL and not t.expressions]
    for data_type in bare:
        digits = [exp.DataTypeParam(this=exp.Literal.number(n)) for n in (38, 9)]
        data_type.set("expressions", digits)
    return bool(bare)


def _unwrap_created_select(tree: exp.Expression) -> bool:
    """`create table t (a int64) as (select …)`: dbt's contracts write the parentheses, DuckDB refuses them."""
    wrapped = [
        c
        for c in tree.find_all(exp.Create)
        if isinstance(c.this, exp.Schema) and isinstance(c.expression, exp.Subquery)
    ]
    for create in wrapped:
        create.set("expression", create.expression.this.copy())
    return bool(wrapped)


def _filter_distinct_nulls(tree: exp.Expression) -> bool:
    """`array_agg(distinct x ignore nulls)` becomes a filter; sqlglot nests the two either way round."""
    changed = False
    for ignore in list(tree.find_all(exp.IgnoreNulls)):
        outside = isinstance(ignore.this, exp.ArrayAgg)
        aggregate = ignore.this if outside else ignore.parent
        distinct = aggregate.this if outside else ignore.this
        if not isinstance(aggregate, exp.ArrayAgg) or not isinstance(distinct, exp.Distinct):
            continue
        present = exp.Not(this=exp.Is(this=distinct.expressions[0].copy(), expression=exp.Null()))
        replacement = exp.Filter(this=exp.ArrayAgg(this=distinct.copy()), expression=exp.Where(this=present))
        (ignore if outside else aggregate).replace(replacement)
        changed = True
    return changed


def _start_weeks_on_monday(tree: exp.Expression) -> bool:
    changed = False
    for trunc in list(tree.find_all(exp.DateTrunc)):
        unit = trunc.args.get("unit")
        if unit is None or re.sub(r"[\s'\"]", "", unit.sql("bigquery")).upper() not in _MONDAY_WEEKS:
            continue
        day = trunc.this.sql("bigquery")
        monday = f"DATE_SUB({day}, INTERVAL MOD(EXTRACT(DAYOFWEEK FROM {day}) + 5, 7) DAY)"
        trunc.replace(sqlglot.parse_one(monday, read="bigquery"))
        changed = True
    return changed


def _unqualify_set(tree: exp.Expression) -> bool:
    """`update t set t.a = 1`: DuckDB takes no table's name there."""
    changed = False
    for update in tree.find_all(exp.Update):
        merge = update.find_ancestor(exp.Merge)
        name = (merge or update).this.alias_or_name.lower()
        for each in update.expressions:
            column = each.this if isinstance(each, exp.EQ) else None
            if isinstance(column, exp.Column) and column.table.lower() == name:
                column.set("table", None)
                changed = True
    return changed


def _join_nothing_by_hash(tree: exp.Expression) -> bool:
    """`merge … on false`, which dbt replaces partitions by. DuckDB goes through all pairs of rows, unless it finds an equation."""
    merges = [merge for merge in tree.find_all(exp.Merge) if merge.args["on"] == exp.false()]
    for merge in merges:
        target, source = (merge.args[each].alias_or_name for each in ("this", "using"))
        equation = f"`{target}`.rowid = CASE WHEN `{source}` IS NULL THEN NULL END"
        merge.set("on", sqlglot.parse_one(equation, read="bigquery"))
    return bool(merges)


def _prepare(bigquery_sql: str) -> str:
    """BigQuery SQL in, BigQuery SQL that translates rightly out. What does not parse is left for stock to refuse."""
    if not _WORTH_PARSING.search(bigquery_sql):
        return bigquery_sql
    try:
        tree = sqlglot.parse_one(bigquery_sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return bigquery_sql
    steps = (
        _widen_numeric,
        _unwrap_created_select,
        _filter_distinct_nulls,
        _start_weeks_on_monday,
        _unqualify_set,
        _join_nothing_by_hash,
    )
    changed = [step(tree) for step in steps]
    return tree.sql("bigquery") if any(changed) else bigquery_sql


def _transpile(sql: str, **options: Any) -> list[str]:
    """sqlglot's transpile, with the DECIMALs that translating brings in widened too, and INSERT ROW by position."""
    return [
        _INSERT_ROW.sub(lambda found: found["skip"] or "THEN INSERT", widened)
        for widened in (
            _BARE_DECIMAL.sub(lambda found: found["skip"] or "DECIMAL(38, 9)", statement)
            for statement in sqlglot.transpile(sql, **options)
        )
    ]


def _partition_field(properties: exp.Properties) -> str | None:
    """Stock's `_ddl_partition_field`, for `date(ts)` and truncations too; ingestion time and ranges have no column."""
    for each in properties.expressions:
        if isinstance(each, exp.PartitionedByProperty) and not each.find(exp.RangeBucket):
            column = each.find(exp.Column) or each.find(exp.Identifier)
            if column is not None and column.name.upper() not in {"_PARTITIONDATE", "_PARTITIONTIME"}:
                return column.name
    return None


def _bind_named(sql: str, query_parameters: list[dict[str, Any]]) -> tuple[str, list[Any]]:
    """Stock's `_bind_named`, blind to strings and comments. Returns the SQL with `?` and the values in order."""
    by_name = {parameter["name"]: parameter for parameter in query_parameters}
    values: list[Any] = []

    def placeholder(found: re.Match[str]) -> str:
        parameter = by_name.get(found["name"])
        if parameter is None:
            return found[0]
        values.append(parameters._extract_value(parameter))
        return parameters._placeholder_for(values[-1], parameter)

    return _PARAMETER.sub(placeholder, sql), values


def install() -> None:
    """Run `_prepare` before stock's first rewriter, and replace the transpiler and the parameter binder."""
    stock_first_rewriter = translator.rewrite_create_table_schema_ctas

    def prepare_first(sql: str) -> str:
        prepared = _prepare(sql)
        return stock_first_rewriter(prepared) if _CREATES.search(prepared) else prepared

    expand_wildcards = inner_query.expand_wildcard_tables

    def expand_with_project(sql: str, project_id: str, catalog: Any) -> str:
        # Stock quotes the tables that it finds only where the wildcard has a project.
        return expand_wildcards(_WILDCARD_WITHOUT_PROJECT.sub(rf"`{project_id}.\1`", sql), project_id, catalog)

    inner_query.expand_wildcard_tables = expand_with_project
    translator.rewrite_create_table_schema_ctas = prepare_first
    translator.sqlglot = SimpleNamespace(**{**vars(sqlglot), "transpile": _transpile})
    parameters._bind_named = _bind_named
    ddl_sync._ddl_partition_field = _partition_field
    DuckDB.Generator.RESERVED_KEYWORDS |= set(_RESERVED_BY_DUCKDB)
