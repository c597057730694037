"""Puts the days' rows where they belong, a folder or BigQuery, in place of what the days held before."""

import io
import json
import os
from datetime import date
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from .tables import Batch, Row, Tables


def write_files(root: Path, batches: dict[date, Batch]) -> None:
    """Write `root`/table/day.ndjson for every table and day; a day without rows has an empty file."""
    for day, batch in batches.items():
        for table, rows in batch.items():
            path = root / table / f"{day.isoformat()}.ndjson"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_json_lines(rows))


def load(
    project: str,
    location: str,
    dataset: str,
    tables: Tables,
    arrived: str,
    batches: dict[date, Batch],
    partitioned_by: str | None = None,
) -> None:
    """Make the tables of `dataset` hold exactly these rows for the days of `batches`, which follow one another.

    `arrived` is the TIMESTAMP column by whose day the rows are replaced, and the tables partitioned unless by a DATE column.

    All tables and days change in one transaction. The rows arrive through tables of these days' own, which the next
    run of the same days replaces when a run dies and leaves them.
    """
    endpoint = os.environ.get("DAYFILL_BIGQUERY_ENDPOINT")
    client = bigquery.Client(
        project=project,
        location=location,
        credentials=AnonymousCredentials() if endpoint else None,
        client_options={"api_endpoint": endpoint} if endpoint else None,
    )
    # The client's own patience is ten minutes; when nobody answers at all, whoever runs this should know sooner.
    client.create_dataset(dataset, exists_ok=True, retry=bigquery.DEFAULT_RETRY.with_timeout(30))
    first, last = min(batches), max(batches)
    arrivals = {table: f"{dataset}.{table}_arriving_{first:%Y%m%d}_{last:%Y%m%d}" for table in tables}
    # Should the run die and never be repeated, BigQuery drops these tables by itself.
    client.query_and_wait(
        "\n".join(
            f"""
            create table if not exists `{dataset}.{table}` ({_ddl(columns)}) partition by {partitioned_by or f"date({arrived})"};
            create or replace table `{arrivals[table]}` ({_ddl(columns)})
            options (expiration_timestamp = timestamp_add(current_timestamp(), interval 1 day));
            """
            for table, columns in tables.items()
        )
    )
    for table, columns in tables.items():
        rows = [row for batch in batches.values() for row in batch[table]]
        if rows:
            client.load_table_from_file(
                io.BytesIO(_json_lines(rows)),
                f"{project}.{arrivals[table]}",
                job_config=bigquery.LoadJobConfig(
                    schema=[_field(name, kind) for name, kind in columns.items()],
                    source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
                    write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
                ),
            ).result()
    changes = "\n".join(
        f"""
        delete from `{dataset}.{table}` where date({arrived}) between @first_day and @last_day;
        insert into `{dataset}.{table}` ({_names(columns)}) select {_names(columns)} from `{arrivals[table]}`;
        """
        for table, columns in tables.items()
    )
    drops = "\n".join(f"drop table `{name}`;" for name in arrivals.values())
    client.query_and_wait(
        f"begin transaction;\n{changes}\ncommit transaction;\n{drops}",
        job_config=bigquery.QueryJobConfig(
            query_parameters=[
                bigquery.ScalarQueryParameter("first_day", "DATE", first),
                bigquery.ScalarQueryParameter("last_day", "DATE", last),
            ]
        ),
    )


def _json_lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _field(name: str, kind: str) -> bigquery.SchemaField:
    type_name = kind.removesuffix(" NOT NULL")
    return bigquery.SchemaField(name, type_name, "NULLABLE" if kind == type_name else "REQUIRED")


def _names(columns: dict[str, str]) -> str:
    # In backticks, for GROUPS is a word of SQL.
    return ", ".join(f"`{name}`" for name in columns)


def _ddl(columns: dict[str, str]) -> str:
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())
