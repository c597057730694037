"""Let `tables.patch` add columns, in records too, to the table itself, and `tables.delete` take views.

Stock changes what the catalog says and leaves the table as it was, so that the next row does not fit; a view cannot be
deleted but by DROP VIEW.
"""

from typing import Any

import bqemulator.api.routes.tables as stock
from bqemulator.domain.errors import ValidationError
from bqemulator.storage.sql_identifiers import quoted_table_ref
from bqemulator.storage.type_map import bq_schema_to_duckdb_columns
from fastapi import APIRouter, Request, Response

from .requests import KnownBody

router = APIRouter(prefix="/bigquery/v2")
_Fields = list[dict[str, Any]]


@router.patch("/projects/{project_id}/datasets/{dataset_id}/tables/{table_id}")
async def patch_table(
    project_id: str, dataset_id: str, table_id: str, request: Request, context: stock._Ctx
) -> dict[str, Any]:
    """Change a table. A new schema may only add columns that can be null; anything else is refused."""
    body = await request.json()
    existing = context.catalog.get_table(project_id, dataset_id, table_id)
    wanted = (body.get("schema") or {}).get("fields")
    if existing is not None and wanted and existing.schema_.fields:
        old = [stock._field_to_rest(field) for field in existing.schema_.fields]
        try:
            new = _merged(old, wanted, "")
        except ValueError as error:
            raise ValidationError(
                f"Provided Schema does not match Table {project_id}:{dataset_id}.{table_id}. {error}"
            ) from None
        await _alter(context, quoted_table_ref(project_id, dataset_id, table_id), old, new)
        body["schema"] = {"fields": new}
    return await stock.patch_table(project_id, dataset_id, table_id, KnownBody(body), context)


@router.delete("/projects/{project_id}/datasets/{dataset_id}/tables/{table_id}")
async def delete_table(project_id: str, dataset_id: str, table_id: str, context: stock._Ctx) -> Response:
    """Delete a table or a view."""
    existing = context.catalog.get_table(project_id, dataset_id, table_id)
    if existing is not None and existing.table_type == "VIEW":
        async with context.engine.write_lock():
            context.engine.execute(f"DROP VIEW IF EXISTS {quoted_table_ref(project_id, dataset_id, table_id)}")
    return await stock.delete_table(project_id, dataset_id, table_id, context)


async def _alter(context: Any, table: str, old: _Fields, new: _Fields) -> None:
    """Bring the table to the new columns; done twice it changes nothing, so that a crash on the way does no harm."""
    before = dict(bq_schema_to_duckdb_columns(old))
    async with context.engine.write_lock():
        for name, column_type in bq_schema_to_duckdb_columns(new):
            if name not in before:
                context.engine.execute(f'ALTER TABLE {table} ADD COLUMN IF NOT EXISTS "{name}" {column_type}')
            elif column_type != before[name]:
                context.engine.execute(f'ALTER TABLE {table} ALTER COLUMN "{name}" TYPE {column_type}')


def _merged(old: _Fields, wanted: _Fields, place: str) -> _Fields:
    """The wanted fields, those that were there first and in their order. ValueError for what BigQuery refuses."""
    by_name = {field["name"].lower(): field for field in wanted}
    merged = []
    for field in old:
        name = place + field["name"]
        new = by_name.pop(field["name"].lower(), None)
        if new is None:
            raise ValueError(f"Field {name} is missing in new schema")
        if _type(new) != _type(field):
            raise ValueError(f"Field {name} has changed type from {_type(field)} to {_type(new)}")
        modes = (_mode(field), _mode(new))
        if modes[0] != modes[1] and modes != ("REQUIRED", "NULLABLE"):
            raise ValueError(f"Field {name} has changed mode from {modes[0]} to {modes[1]}")
        merged.append(
            {**new, "name": field["name"], "fields": _merged(field["fields"], new.get("fields", []), f"{name}.")}
            if field.get("fields")
            else new
        )
    for field in by_name.values():
        if _mode(field) == "REQUIRED":
            raise ValueError(f"Cannot add required fields to an existing schema. (field: {place}{field['name']})")
    return merged + list(by_name.values())


def _mode(field: dict[str, Any]) -> str:
    return field.get("mode", "NULLABLE").upper()


def _type(field: dict[str, Any]) -> str:
    other_names = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
    name = field["type"].upper()
    return other_names.get(name, name)
