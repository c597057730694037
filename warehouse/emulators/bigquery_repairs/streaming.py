"""Refuse streamed rows that do not fit their table, as `insertErrors`, and insert none of their request.

Stock drops unknown fields without a word, and answers a value of the wrong type with a 500, which
clients retry until they give up.
"""

from typing import Any

import bqemulator.api.routes.tabledata as stock
from bqemulator.domain.errors import ResourceRef, resource_not_found
from fastapi import APIRouter, Request

from .requests import KnownBody

router = APIRouter(prefix="/bigquery/v2")


@router.post("/projects/{project_id}/datasets/{dataset_id}/tables/{table_id}/insertAll")
async def insert_all(
    project_id: str, dataset_id: str, table_id: str, request: Request, context: stock._Ctx
) -> dict[str, Any]:
    """Insert rows. `insertId` is accepted but repeats are not recognised: BigQuery promises no more than an attempt."""
    table = context.catalog.get_table(project_id, dataset_id, table_id)
    if table is None:
        raise resource_not_found(ResourceRef("table", project_id, dataset_id, table_id))
    body = await request.json()
    rows = body.get("rows", [])
    schema = stock._build_arrow_schema(stock._fields_raw_from_schema(table.schema_.fields))
    errors: dict[int, dict[str, Any]] = {}
    for index, row in enumerate(rows):
        unknown = None if body.get("ignoreUnknownValues") else _unknown_field(row["json"], table.schema_.fields)
        if unknown:
            errors[index] = {"reason": "invalid", "location": unknown, "message": f"no such field: {unknown}."}
            continue
        try:
            stock.bq_rows_to_arrow([row], schema)
        except (ValueError, TypeError, ArithmeticError) as error:
            errors[index] = stock._format_insert_error(index, error, row, schema)["errors"][0]
    if errors and not body.get("skipInvalidRows"):
        stopped = {"reason": "stopped", "location": "", "message": ""}
        errors = {index: errors.get(index, stopped) for index in range(len(rows))}
    good = [row for index, row in enumerate(rows) if index not in errors]
    if good:
        await stock.insert_all(project_id, dataset_id, table_id, KnownBody({"rows": good}), context)
    return {
        "kind": "bigquery#tableDataInsertAllResponse",
        "insertErrors": [{"index": index, "errors": [error]} for index, error in errors.items()],
    }


def _unknown_field(record: dict[str, Any], fields: Any) -> str | None:
    """Dotted name of the first field that the schema lacks, in nested records too."""
    known = {field.name.lower(): field for field in fields}
    for name, value in record.items():
        field = known.get(name.lower())
        if field is None:
            return name
        for child in value if isinstance(value, list) else [value]:
            if field.fields and isinstance(child, dict):
                unknown = _unknown_field(child, field.fields)
                if unknown:
                    return f"{name}.{unknown}"
    return None
