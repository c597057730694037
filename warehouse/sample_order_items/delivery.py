"""Puts the days' items into BigQuery, in place of what was ingested on these days before."""

import io
import json
import os
from datetime import date

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from .items import Row

TABLE = "order_items"
COLUMNS = {
    "order_item_id": "STRING",
    "retailer": "STRING",
    "product_id": "STRING",
    "product_name": "STRING",
    "quantity": "INT64",
    "price": "NUMERIC",
    "is_returned": "BOOL",
    "order_date": "DATE",
    "ingestion_timestamp": "TIMESTAMP",
}


def load(project: str, dataset: str, location: str, days: list[date], rows: list[Row]) -> None:
    """Make the table hold exactly these rows for what was ingested on `days`, which follow one another."""
    endpoint = os.environ.get("DAYFILL_BIGQUERY_ENDPOINT")
    client = bigquery.Client(
        project=project,
        location=location,
        credentials=AnonymousCredentials() if endpoint else None,
        client_options={"api_endpoint": endpoint} if endpoint else None,
    )
    client.create_dataset(dataset, exists_ok=True, retry=bigquery.DEFAULT_RETRY.with_timeout(30))
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    arriving = f"{dataset}.{TABLE}_arriving_{days[0]:%Y%m%d}_{days[-1]:%Y%m%d}"
    client.query_and_wait(
        f"""
        create table if not exists `{dataset}.{TABLE}` ({columns}) partition by order_date;
        create or replace table `{arriving}` ({columns})
        options (expiration_timestamp = timestamp_add(current_timestamp(), interval 1 day));
        """
    )
    if rows:
        client.load_table_from_file(
            io.BytesIO("".join(json.dumps(row) + "\n" for row in rows).encode()),
            f"{project}.{arriving}",
            job_config=bigquery.LoadJobConfig(
                schema=[bigquery.SchemaField(name, kind) for name, kind in COLUMNS.items()],
                source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
                write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            ),
        ).result()
    client.query_and_wait(
        f"""
        begin transaction;
        delete from `{dataset}.{TABLE}` where date(ingestion_timestamp) between @first_day and @last_day;
        insert into `{dataset}.{TABLE}` ({", ".join(COLUMNS)}) select {", ".join(COLUMNS)} from `{arriving}`;
        commit transaction;
        drop table `{arriving}`;
        """,
        job_config=bigquery.QueryJobConfig(
            query_parameters=[
                bigquery.ScalarQueryParameter("first_day", "DATE", days[0]),
                bigquery.ScalarQueryParameter("last_day", "DATE", days[-1]),
            ]
        ),
    )
