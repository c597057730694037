"""A chunk's CSV files as typed Parquet by day: rows in = rows out + rejects, or nothing is written."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from .chunk import Chunk, read_record
from .folders import emptied, need_room, only_one, replace, write_whole
from .lines import SCHEMA, read_lines
from .lookups import Lookups, read_lookups
from .manifest import NAME, PART, Manifest, write_manifest
from .parsing import typed
from .refusal import Refusal
from .settings import Settings
from .tables import DIMENSIONS, REJECTS, TRANSACTIONS, Table

CHUNKS = "_chunks"
"""Folder of one file per exported chunk, which lists its manifests and is written last. It is local, no part of the bucket."""

REASONS = ("malformed", "unreadable", "outside_chunk", "duplicate", "orphan")


@dataclass
class _Export:
    """An export under way: its database, and the folder whose partitions are moved into place at the end."""

    settings: Settings
    chunk: Chunk
    record: dict[str, Any]
    lookups: Lookups
    folder: Path
    database: duckdb.DuckDBPyConnection
    threads: int
    manifests: dict[str, Manifest] = field(default_factory=dict)

    def sql(self, query: str) -> list[tuple]:
        """Run one statement and return its rows."""
        return self.database.execute(query).fetchall()

    @contextmanager
    def lines(self, batches: Iterator[pa.RecordBatch]) -> Iterator[str]:
        """Give the name under which a query can read the lines, once."""
        self.database.register("source_lines", pa.RecordBatchReader.from_batches(SCHEMA, batches))
        try:
            yield "source_lines"
        finally:
            self.database.unregister("source_lines")

    def write(self, partition: str, rows: str, key: str | None, more: dict[str, Any] | None = None) -> None:
        """Write a query's rows, in its order, as a partition with its manifest. Safe to call from several threads."""
        folder = self.folder / partition
        folder.mkdir(parents=True)
        with self.database.cursor() as cursor:
            cursor.execute(f"copy ({rows}) to '{_escaped(folder / PART)}' (format parquet, compression snappy)")
        self.manifests[partition] = write_manifest(folder, partition, self.chunk.key, self.record["source_run"], key, more)

    def write_all(self, partitions: dict[str, str], key: str) -> None:
        """Write many partitions side by side, each by one thread: a file's bytes do not depend on which thread is faster."""
        self.database.execute("set threads = 1")
        with ThreadPoolExecutor(self.threads) as pool:
            for done in [pool.submit(self.write, partition, rows, key) for partition, rows in partitions.items()]:
                done.result()
        self.database.execute(f"set threads = {self.threads}")


def export(settings: Settings, chunk: Chunk, threads: int) -> dict[str, int]:
    """Write the chunk's partitions under `target_root`, in place of those that it had, and return what was counted.

    The first chunk brings the lookups' partitions. Raises Refusal, with nothing written, when files are missing or the rows do not add up.
    """
    record, lookups = read_record(settings, chunk), read_lookups(settings)
    root, source = settings.target_root, chunk.folder(settings)
    with only_one(root):
        need_room(root, sum(file.stat().st_size for file in source.iterdir()), settings.min_free_disk, f"The export of {chunk.key}")
        folder = emptied(root / f".tmp-{chunk.key}")
        try:
            config = {"memory_limit": f"{settings.memory_limit}B", "temp_directory": str(folder / ".duckdb"), "threads": threads}
            with duckdb.connect(config=config) as database:
                work = _Export(settings, chunk, record, lookups, folder, database, threads)
                counts = _write_partitions(work)
            _move(work)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return counts


def chunk_manifests(settings: Settings, chunk: Chunk) -> Path:
    """The file that lists the manifests of an exported chunk."""
    return settings.target_root / CHUNKS / f"{chunk.key}.json"


def _write_partitions(work: _Export) -> dict[str, int]:
    work.database.execute("create table rejects (table_name varchar, line_number bigint, reason varchar, column_name varchar, line varchar)")
    dimensions = None
    if work.chunk.first == work.settings.start_date:
        dimensions = {table.name: _write_dimension(work, table) for table in DIMENSIONS}
    tables = {table.name: _write_days(work, table) for table in TRANSACTIONS}
    account = {
        "first": str(work.chunk.first),
        "last": str(work.chunk.last),
        "id_state": work.record["id_state"],
        "id_state_after": work.record["id_state_after"],
        "tables": tables,
        "dimensions": dimensions,
    }
    work.write(f"{REJECTS}/chunk={work.chunk.key}", "select * from rejects order by table_name, line_number", None, {"account": account})
    counts = {f"{name}_{what}": said[what] for name, said in tables.items() for what in ("rows_in", "rows_out", "rejects")}
    counts |= {f"rejects_{reason}": sum(said["reasons"][reason] for said in tables.values()) for reason in REASONS}
    counts |= {f"{name}_rows_out": said["rows"] for name, said in (dimensions or {}).items()}
    return counts | {"partitions": len(work.manifests), "bytes": sum(manifest["bytes"] for manifest in work.manifests.values())}


def _write_days(work: _Export, table: Table) -> dict[str, Any]:
    """Read one CSV file and write its partition of each day, also of a day without rows; return its account."""
    file = work.chunk.folder(work.settings) / f"{table.name}.csv"
    rows_in = _read(work, table, file)
    _reject(work, table, file)
    if table.event is not None:
        work.sql(f"create table {table.name}_days as select {table.key[0]} as id, {table.event}::date as day from {table.name}")
    days = f"{table.parent or table.name}_days"
    bounds = {day: (least, greatest) for day, least, greatest in work.sql(f"select day, min(id), max(id) from {days} group by day")}

    def rows(day: date) -> str:
        # The bounds let DuckDB skip what lies far away; the join decides.
        least, greatest = bounds.get(day, (1, 0))
        return f"""
            select {_names(table)} from {table.name} where {table.key[0]} between {least} and {greatest}
            and {table.key[0]} in (select id from {days} where day = date '{day}' and id between {least} and {greatest})
            order by {", ".join(table.key)}
        """

    partitions = {f"{table.name}/{table.partition}={day}": rows(day) for day in work.chunk.days}
    work.write_all(partitions, table.key[0])
    work.sql(f"drop table {table.name}")
    reasons = dict.fromkeys(REASONS, 0) | dict(work.sql(f"select reason, count(*) from rejects where table_name = '{table.name}' group by reason"))
    rows_out, rejects = sum(work.manifests[partition]["rows"] for partition in partitions), sum(reasons.values())
    if rows_in != rows_out + rejects:
        raise Refusal(f"{file} has {rows_in} rows, but {rows_out} came out and {rejects} were rejected; nothing was written.")
    return {"rows_in": rows_in, "rows_out": rows_out, "rejects": rejects, "reasons": reasons}


def _write_dimension(work: _Export, table: Table) -> dict[str, int]:
    """Write the partitions of a lookup; return how many there are and their rows. Its rows are clean, so one that is not is refused."""
    file = work.lookups.folder / f"{table.name}.csv"
    _read(work, table, file)
    if bad := work.sql(f"select _number, _reason, _column from {table.name} where _reason is not null limit 1"):
        raise Refusal(f"{file}, line {bad[0][0]} is {bad[0][1]} ({bad[0][2]}); remove the lookups and make them again.")
    values = work.sql(f"select {table.partition} as value, count(*) from {table.name} group by value order by value")
    partitions = {
        f"{table.name}/{table.partition}={value}": f"select {_names(table)} from {table.name} where {table.partition} = '{value}' order by {', '.join(table.key)}" for value, _ in values
    }
    work.write_all(partitions, table.key[0])
    work.sql(f"drop table {table.name}")
    return {"partitions": len(partitions), "rows": sum(rows for _, rows in values)}


def _read(work: _Export, table: Table, file: Path) -> int:
    """Make a database table of the file's rows and return how many lines the file has besides its header."""
    read = 0

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal read
        for batch in batches:
            read += len(batch)
            yield batch

    with work.lines(counted(read_lines(file, _header(table)))) as source:
        work.sql(f"create table {table.name} as {typed(table, source, (str(work.chunk.first), str(work.chunk.last)))}")
    return read


def _header(table: Table) -> str:
    return ",".join(column.name for column in table.columns)


def _reject(work: _Export, table: Table, file: Path) -> None:
    """Move the rows that the table cannot take to `rejects`, each with its line and the reason."""
    name, key = table.name, ", ".join(table.key)
    work.sql(f"insert into rejects select '{name}', _number, _reason, _column, _line from {name} where _reason is not null")
    work.sql(
        f"""
        insert into rejects select '{name}', number, 'duplicate', null, null
        from (select _number, row_number() over (partition by {key} order by _number) from {name} where _reason is null and ({key}) in (
            select ({key}) from {name} where _reason is null group by {key} having count(*) > 1
        )) as again(number, place) where place > 1
        """
    )
    missing = " ".join(f"when {condition} then '{column}'" for column, condition in _missing(work, table))
    work.sql(
        f"""
        insert into rejects select '{name}', number, 'orphan', missing, null
        from (select _number, case {missing} end from {name} where _reason is null) as orphans(number, missing)
        where missing is not null and number not in (select line_number from rejects where table_name = '{name}')
        """
    )
    with work.lines(_lines_to_add(work, table, file)) as found:
        work.sql(f"update rejects set line = found._line from {found} as found where table_name = '{name}' and line_number = found._number")
    work.sql(f"delete from {name} where _number in (select line_number from rejects where table_name = '{name}')")


def _lines_to_add(work: _Export, table: Table, file: Path) -> Iterator[pa.RecordBatch]:
    """Return the lines of the rejects that have none yet: only a row that cannot be read brought its line along."""
    without = work.sql(f"select line_number from rejects where table_name = '{table.name}' and line is null order by line_number")
    numbers = np.array(without, np.int64).ravel()

    def picked(batch: pa.RecordBatch) -> pa.RecordBatch:
        first = batch["_number"][0].as_py()
        here = numbers[np.searchsorted(numbers, first) : np.searchsorted(numbers, first + len(batch))]
        return batch.take(pa.array(here - first))

    return map(picked, read_lines(file, _header(table)))


def _missing(work: _Export, table: Table) -> list[tuple[str, str]]:
    """Return for each column that names a row of another table the condition that there is no such row."""
    conditions = []
    for column, other in ([(table.parent_key, table.parent)] if table.parent else []) + list(table.refers):
        if other in work.lookups.rows:
            conditions.append((column, f"{column} not between 1 and {work.lookups.rows[other]}"))
        else:
            absent = f"{column} not in (select id from {other}_days)"
            # Orders of earlier chunks have long been exported: the id state says which there were.
            earlier = f"{column} not between 1 and {work.record['id_state']['last_order_id']}"
            conditions.append((column, f"{earlier} and {absent}" if (table.name, other) == ("returns", "orders") else absent))
    return conditions


def _move(work: _Export) -> None:
    """Move the partitions into place. The list of the chunk's manifests goes first and comes back last: with it the chunk is whole."""
    listing = chunk_manifests(work.settings, work.chunk)
    listing.unlink(missing_ok=True)
    for partition in work.manifests:
        replace(work.folder / partition, work.settings.target_root / partition)
    manifests = [f"{partition}/{NAME}" for partition in sorted(work.manifests)]
    write_whole(listing, json.dumps({"chunk": work.chunk.key, "manifests": manifests}, indent=1) + "\n")


def _names(table: Table) -> str:
    return ", ".join(column.name for column in table.stored)


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")
