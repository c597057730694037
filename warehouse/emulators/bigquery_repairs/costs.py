"""Tell how many bytes a statement reads, before it runs: what it is billed for, and what `maximumBytesBilled` is held against.

Stock says 0. Here DuckDB is asked how it would run the statement (`EXPLAIN`), through views and subqueries: the columns
that it reads of each table, times the rows of the partitions that a filter by constants leaves. A table's rows are
counted; the widths of its strings and arrays are averages over its first rows. A table counts once, however often it is
read; UPDATE, DELETE and MERGE count the whole rows of the table that they change as well, as BigQuery documents it.
"""

import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import bqemulator.jobs.executor as executor
import duckdb
import pyarrow
from bqemulator.domain.errors import DomainError, InvalidQueryError
from bqemulator.storage.engine import DuckDBEngine

from .job_runner import Job, runner
from .translation import QUOTED_OR_COMMENT

MIB = 1024 * 1024
_LEAST_BILLED = 10 * MIB
_SAMPLED_ROWS = 1000
# dbt begins every statement with a comment.
_START = r"(?:\s|/\*(?:[^*]|\*(?!/))*\*/|--[^\n]*\n)*"
_READS = re.compile(rf"{_START}(?:SELECT|WITH|FROM|VALUES|\()", re.IGNORECASE)
_WRITES = re.compile(
    rf"{_START}(?:INSERT|UPDATE|DELETE|MERGE|CREATE\s.*?\bTABLE\b.*?\bAS\b)", re.IGNORECASE | re.DOTALL
)
_NAME = r'(?:"(?:[^"]|"")*"|\w+)'
_CHANGED = re.compile(rf"{_START}(?:UPDATE|DELETE\s+FROM|MERGE\s+INTO)\s+({_NAME}(?:\.{_NAME})*)", re.IGNORECASE)
_DEFINES = re.compile(
    rf"{_START}(?:CREATE|ALTER|DROP)\s+(?!SCHEMA\s)(?:OR\s+REPLACE\s+)?(?:TEMP(?:ORARY)?\s+)?"
    rf"(?:TABLE\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?P<table>{_NAME}(?:\.{_NAME})*))?",
    re.IGNORECASE,
)
_WORD = re.compile(rf"(?P<skip>{QUOTED_OR_COMMENT})|(?P<word>[A-Za-z_]\w*)", re.DOTALL)
_STRUCTURE = re.compile(rf"{QUOTED_OR_COMMENT}|[()]| AND | BETWEEN ", re.DOTALL)
_IN_CONSTANT_FILTERS = set("AND OR NOT IN IS NULL BETWEEN CAST AS DATE TIMESTAMP WITH TIME ZONE date_trunc".split())
_BYTES = {"boolean": 1, "decimal": 16, "interval": 16}


class BytesBilledLimitExceeded(InvalidQueryError):
    """The statement would bill more than its job may."""

    bq_reason = "bytesBilledLimitExceeded"
    located = True  # BigQuery gives it no place in the text


@dataclass
class _Read:
    """What is read of one table: columns, words of its filters, and for each scan what its rows must fulfil."""

    columns: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    scans: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Sample:
    """The average bytes of a table's columns, and how many rows it had; which columns are dates."""

    rows: int
    widths: dict[str, float]
    dates: set[str]


# By statement and hour: to plan takes as long as to run many of them, and those of a dbt project come with every build.
_remembered: dict[tuple[str, float], dict[tuple[str, ...], _Read]] = {}
_MOST_REMEMBERED = 1024
# By the table's quoted name; taken anew when a table's rows or columns have changed much.
_sampled: dict[str, _Sample] = {}


def charge(job: Job, connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | None) -> None:
    """Add to a job's bytes what a statement of it will read.

    Raises BytesBilledLimitExceeded when that is more than the job may be billed.
    """
    if not (_READS.match(sql) or _WRITES.match(sql)):
        return
    sizes = _bytes_by_table(job, connection, sql, parameters)
    processed = job.bytes_processed + sum(sizes)
    billed = job.bytes_billed + sum(max(_LEAST_BILLED, -(-size // MIB) * MIB) for size in sizes if size)
    if not job.dry and job.maximum_bytes_billed is not None and billed > job.maximum_bytes_billed:
        raise BytesBilledLimitExceeded(
            f"Query exceeded limit for bytes billed: {job.maximum_bytes_billed}. {billed} or higher required."
        )
    job.bytes_processed, job.bytes_billed = processed, billed


def _bytes_by_table(
    job: Job, connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | None
) -> list[int]:
    reads = _reads_of(job, connection, sql, parameters)
    changed = _CHANGED.match(sql)
    changed_table = changed and _parts(changed[1])[-2:]
    whole = {table for table in reads if list(table[-2:]) == changed_table}
    tables = [table for table, read in reads.items() if read.columns or read.words or table in whole]
    counts = _row_counts(connection, tables)
    return [
        _table_bytes(job, connection, table, reads[table], count, whole=table in whole)
        for table, count in zip(tables, counts, strict=True)
    ]


def _reads_of(
    job: Job, connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | None
) -> dict[tuple[str, ...], _Read]:
    """What a statement reads; that of one which comes again is remembered, until a table that it reads is defined anew."""
    # A dry run plans beside the jobs, of which one may define a table just then.
    if parameters or job.dry:
        return _reads(_plan(connection, sql, parameters))
    # The current time is a constant in a plan, and a partition is an hour at least.
    key = (sql, time.time() // 3600)
    if key not in _remembered:
        _remembered[key] = _reads(_plan(connection, sql, parameters))
        if len(_remembered) > _MOST_REMEMBERED:
            del _remembered[next(iter(_remembered))]
    return _remembered[key]


def _forget(sql: str) -> None:
    """Forget the statements that read the table which `sql` creates, alters or drops; all of them if it is a view or a function."""
    definition = _DEFINES.match(sql)
    if definition is None:
        return
    defined = definition["table"] and _parts(definition["table"])[-1].lower()
    for key, reads in list(_remembered.items()):
        if not defined or any(table[-1].lower() == defined for table in reads):
            del _remembered[key]


def _row_counts(connection: duckdb.DuckDBPyConnection, tables: list[tuple[str, ...]]) -> list[int]:
    """How many rows each of the tables has, by one query."""
    if not tables:
        return []
    counts = [f"SELECT {index}, count(*) FROM {_name(table)}" for index, table in enumerate(tables)]
    return [count for _, count in sorted(connection.execute(" UNION ALL ".join(counts)).fetchall())]


def _plan(connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | None) -> list[dict[str, Any]]:
    [(_, plan)] = connection.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters).fetchall()
    return json.loads(plan)


def _reads(plan: list[dict[str, Any]]) -> dict[tuple[str, ...], _Read]:
    """What a plan reads, by table: database, schema, name."""
    reads: dict[tuple[str, ...], _Read] = {}
    below = [(node, []) for node in plan]
    while below:
        node, filters = below.pop()
        details = node["extra_info"]
        if "Table" in details:
            read = reads.setdefault(tuple(_parts(details["Table"])), _Read())
            pushed = _texts(details.get("Filters"))
            # A scan that only counts rows projects a column without a name.
            read.columns.update(filter(None, _texts(details.get("Projections"))))
            read.words.update(*map(_words, pushed))
            read.scans.append([*filters, *pushed])
        own = _texts(details.get("Expression")) if node["name"].strip() == "FILTER" else []
        below += [(child, own) for child in node["children"]]
    return reads


def _table_bytes(
    job: Job, connection: duckdb.DuckDBPyConnection, table: tuple[str, ...], read: _Read, count: int, *, whole: bool
) -> int:
    if count == 0:
        return 0
    name = _name(table)
    sampled = _sampled.get(name)
    if sampled is None or not read.columns <= sampled.widths.keys() or not sampled.rows <= 2 * count <= 4 * sampled.rows:
        sampled = _sampled[name] = _sample(connection, name, count)
    width = sum(sampled.widths.get(column, 0) for column in read.columns | read.words)
    if whole:  # BigQuery counts what is looked up and what is changed
        width += sum(sampled.widths.values())
    surviving = _surviving(job, name, table, read, sampled)
    if surviving is not None:
        # What a plan says is for people: where it is no SQL, all partitions count.
        with suppress(duckdb.ParserException, duckdb.BinderException):
            [(count,)] = connection.execute(f"SELECT count(*) FROM {name} WHERE {surviving}").fetchall()
    return round(count * width)


def _sample(connection: duckdb.DuckDBPyConnection, name: str, rows: int) -> _Sample:
    described = connection.execute(f"FROM {name} LIMIT 0").description
    averages = ", ".join(f"coalesce(avg({_width(_quoted(column), type_)}), 0)" for column, type_, *_ in described)
    [widths] = connection.execute(f"SELECT {averages} FROM (FROM {name} LIMIT {_SAMPLED_ROWS})").fetchall()
    columns = [column for column, *_ in described]
    dates = {column for column, type_, *_ in described if type_.id == "date"}
    return _Sample(rows, dict(zip(columns, widths, strict=True)), dates)


def _width(value: str, type_: Any) -> str:
    """SQL for the bytes of a value, as BigQuery counts them; a null has none."""
    kind = type_.id
    if kind == "list":
        each = _width("x", type_.children[0][1])
        return f"coalesce(list_sum(list_transform({value}, lambda x: {each})), 0)"
    if kind == "struct":
        return "(" + " + ".join(_width(f"{value}.{_quoted(name)}", each) for name, each in type_.children) + ")"
    if kind in {"varchar", "json"}:
        return f"coalesce(2 + strlen({value}), 0)"
    if kind == "blob":
        return f"coalesce(2 + octet_length({value}), 0)"
    return f"CASE WHEN {value} IS NULL THEN 0 ELSE {_BYTES.get(kind, 8)} END"


def _surviving(job: Job, name: str, table: tuple[str, ...], read: _Read, sampled: _Sample) -> str | None:
    """SQL for the rows whose partition a filter by constants does not rule out, by any of the scans; None for all."""
    project, _, dataset = table[-2].partition("__")
    described = job.context.catalog.get_table(project, dataset, table[-1])
    time, ranges = (described.time_partitioning, described.range_partitioning) if described else (None, None)
    partitioning = time or ranges
    if not partitioning or not partitioning.field:
        return None
    column = partitioning.field
    scans = [_constant_filters(column, filters) for filters in read.scans]
    if not all(scans):
        return None
    matching = " OR ".join(f"({' AND '.join(filters)})" for filters in scans)
    if column in sampled.dates and time.type == "DAY":
        return matching
    if time:
        partition = f"date_trunc('{time.type}', {_quoted(column)})"
    else:
        partition = f"({_quoted(column)} - {ranges.start}) // {ranges.interval}"
    return f"{partition} IN (SELECT {partition} FROM {name} WHERE {matching})"


def _constant_filters(column: str, filters: list[str]) -> list[str]:
    """Those of the filters that compare the column with constants, as SQL."""
    found = []
    for each in filters:
        for part in _conjuncts(each.removeprefix("optional: ")):
            words = _words(part)
            if column in words and words - {column} <= _IN_CONSTANT_FILTERS and "#" not in part:
                found.append(
                    _WORD.sub(lambda match: _quoted(column) if match["word"] == column else match[0], part)
                )
    return found


def _conjuncts(text: str) -> list[str]:
    """The parts that AND joins at the outermost level."""
    text = text.strip()
    depth, start, parts, wrapped, between = 0, 0, [], text.startswith("("), False
    for match in _STRUCTURE.finditer(text):
        token = match[0]
        if token in "()":
            depth += 1 if token == "(" else -1
            wrapped &= depth > 0 or match.end() == len(text)
        elif depth == 0 and token == " BETWEEN ":
            between = True
        elif depth == 0 and token == " AND ":
            if not between:
                parts.append(text[start : match.start()])
                start = match.end()
            between = False
    if wrapped:
        return _conjuncts(text[1:-1])
    if not parts:
        return [text]
    return [part for each in (*parts, text[start:]) for part in _conjuncts(each)]


def _words(text: str) -> set[str]:
    return {match["word"] for match in _WORD.finditer(text) if match["word"]}


def _texts(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _parts(name: str) -> list[str]:
    return [part[1:-1].replace('""', '"') if part.startswith('"') else part for part in re.findall(_NAME, name)]


def _name(table: tuple[str, ...]) -> str:
    return ".".join(map(_quoted, table))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def install() -> None:
    """Charge a job for each of its statements before it runs; in a dry run the statement does not run."""
    fetch_arrow = DuckDBEngine.fetch_arrow

    def fetch_charged(self: DuckDBEngine, sql: str, parameters: list[Any] | None = None) -> pyarrow.Table:
        job = runner.current()
        if job is None:
            return fetch_arrow(self, sql, parameters)
        charge(job, self.connection, sql, parameters)
        if not job.dry:
            return fetch_arrow(self, sql, parameters)
        return fetch_arrow(self, f"FROM ({sql}) LIMIT 0", parameters) if _READS.match(sql) else pyarrow.table({})

    execute = DuckDBEngine.execute

    def execute_and_forget(
        self: DuckDBEngine, sql: str, parameters: list[Any] | None = None
    ) -> duckdb.DuckDBPyConnection:
        _forget(sql)
        return execute(self, sql, parameters)

    translate_error = executor.translate_runtime_error

    def translate_others(error: BaseException, **options: Any) -> DomainError:
        return error if isinstance(error, BytesBilledLimitExceeded) else translate_error(error, **options)

    DuckDBEngine.execute = execute_and_forget
    DuckDBEngine.fetch_arrow = fetch_charged
    executor.translate_runtime_error = translate_others
