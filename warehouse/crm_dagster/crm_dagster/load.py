"""Puts a day's scrubbed rows into BigQuery in place of what the day held before."""

import io
import json
import os
from datetime import date
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from .scrub import Scrubbed

_ROW_COLUMNS = {
    "conversion_date": "DATE",
    "source_line": "INT64",
    "conversion_id": "STRING",
    "unique_key": "STRING",
    "order_id": "STRING",
    "email": "STRING",
    "phone": "STRING",
    "loyalty_id": "STRING",
    "store": "STRING",
    "amount": "NUMERIC",
    "currency": "STRING",
    "converted_at": "TIMESTAMP",
    "updated_at": "TIMESTAMP",
    "channel": "STRING",
}
_REJECT_COLUMNS = {"conversion_date": "DATE", "source_line": "INT64", "reason": "STRING", "line": "STRING"}


def replace_day(project_id: str, location: str, dataset: str, day: date, scrubbed: Scrubbed) -> None:
    """Make `dataset`.conversion and .conversion_reject hold exactly these rows for `day`.

    Both change in one transaction. The rows arrive through a table of the day's own, which the next run of the day
    replaces when a run dies and leaves it.
    """
    endpoint = os.environ.get("DAYFILL_BIGQUERY_ENDPOINT")
    client = bigquery.Client(
        project=project_id,
        location=location,
        credentials=AnonymousCredentials() if endpoint else None,
        client_options={"api_endpoint": endpoint} if endpoint else None,
    )
    labels: dict[str, str] = json.loads(os.environ.get("DAYFILL_LABELS") or "{}")
    most_bytes = os.environ.get("DAYFILL_MAXIMUM_BYTES_BILLED")
    bound = {"maximum_bytes_billed": int(most_bytes)} if most_bytes else {}
    # The client's own patience is ten minutes; when nobody answers at all, whoever runs this should know sooner.
    client.create_dataset(dataset, exists_ok=True, retry=bigquery.DEFAULT_RETRY.with_timeout(30))
    columns = _ROW_COLUMNS | _REJECT_COLUMNS
    arrivals = f"{dataset}.conversion_arriving_{day:%Y%m%d}"
    # Should the run die and the day never run again, BigQuery drops the table by itself.
    client.query_and_wait(
        f"""
        create or replace table `{arrivals}` ({_ddl(columns)})
        options (expiration_timestamp = timestamp_add(current_timestamp(), interval 1 day))
        """,
        job_config=bigquery.QueryJobConfig(labels=labels, **bound),
    )
    records = scrubbed.rows + scrubbed.rejects
    if records:
        client.load_table_from_file(
            _json_lines(records),
            f"{project_id}.{arrivals}",
            job_config=bigquery.LoadJobConfig(
                schema=[bigquery.SchemaField(name, kind) for name, kind in columns.items()],
                source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
                write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
                labels=labels,
            ),
        ).result()
    # Dataset names can't be bound; this one comes from the job's settings, never from a file.
    client.query_and_wait(
        f"""
        create table if not exists `{dataset}.conversion` ({_ddl(_ROW_COLUMNS)})
        partition by conversion_date options (description = 'Scrubbed conversions, as the landing files brought them.');
        create table if not exists `{dataset}.conversion_reject` ({_ddl(_REJECT_COLUMNS)})
        partition by conversion_date options (description = 'Lines of landing files that were refused, and why. Personal data.');
        begin transaction;
        delete from `{dataset}.conversion` where conversion_date = @partition;
        insert into `{dataset}.conversion` ({", ".join(_ROW_COLUMNS)})
        select {", ".join(_ROW_COLUMNS)} from `{arrivals}` where reason is null;
        delete from `{dataset}.conversion_reject` where conversion_date = @partition;
        insert into `{dataset}.conversion_reject` ({", ".join(_REJECT_COLUMNS)})
        select {", ".join(_REJECT_COLUMNS)} from `{arrivals}` where reason is not null;
        commit transaction;
        drop table `{arrivals}`;
        """,
        job_config=bigquery.QueryJobConfig(
            query_parameters=[bigquery.ScalarQueryParameter("partition", "DATE", day)],
            labels=labels,
            **bound,
        ),
    )


def _json_lines(records: list[dict[str, Any]]) -> io.BytesIO:
    return io.BytesIO("".join(json.dumps(record) + "\n" for record in records).encode())


def _ddl(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())
