"""`_MANIFEST.json`: what a partition holds, written after its file. A partition without a manifest is not there."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow.parquet as pq

from . import GENERATOR_VERSION
from .folders import write_whole

NAME = "_MANIFEST.json"
PART = "part-0000.parquet"
_BLOCK = 1 << 20

Manifest = dict[str, Any]


def file_checksums(file: Path) -> dict[str, str]:
    """Return `sha256` in hex, and `md5` and `crc32c` in base64 as Cloud Storage has them."""
    sha256, md5, crc32c = hashlib.sha256(), hashlib.md5(usedforsecurity=False), google_crc32c.Checksum()
    with open(file, "rb") as source:
        while block := source.read(_BLOCK):
            for each in (sha256, md5, crc32c):
                each.update(block)
    return {"sha256": sha256.hexdigest(), "md5": base64.b64encode(md5.digest()).decode(), "crc32c": base64.b64encode(crc32c.digest()).decode()}


def file_schema(file: Path) -> list[dict[str, str]]:
    """Return the names and Arrow types of the file's columns, in order."""
    return [{"name": field.name, "type": str(field.type)} for field in pq.read_schema(file)]


def schema_hash(schema: list[dict[str, str]]) -> str:
    """Return the SHA-256, in hex, of a schema."""
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()


def content_sha256(manifest: Manifest) -> str:
    """Return the SHA-256, in hex, of what a manifest says besides when it was created: equal for equal partitions."""
    said = {name: value for name, value in manifest.items() if name not in ("created", "content_sha256")}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def key_bounds(file: Path, column: str) -> tuple[int | None, int | None]:
    """Return the least and greatest value of a column, as the file's statistics have them; None without rows."""
    data = pq.read_metadata(file)
    index = data.schema.names.index(column)
    groups = [data.row_group(number).column(index).statistics for number in range(data.num_row_groups)]
    bounds = [group for group in groups if group is not None and group.has_min_max]
    if not bounds:
        return None, None
    return min(group.min for group in bounds), max(group.max for group in bounds)


def write_manifest(folder: Path, partition: str, chunk: str, source_run: str, key: str | None, more: dict[str, Any] | None = None) -> Manifest:
    """Describe the folder's one file in a manifest beside it, and return it.

    `partition` is the folder's path in the bucket, such as orders/ingest_dt=2020-01-01; `key` the column that the bounds are of.
    """
    file = folder / PART
    schema = file_schema(file)
    rows, size = pq.read_metadata(file).num_rows, file.stat().st_size
    least, greatest = (None, None) if key is None else key_bounds(file, key)
    manifest: Manifest = {
        "table": partition.partition("/")[0],
        "partition": partition,
        "chunk": chunk,
        "rows": rows,
        "bytes": size,
        "key": key,
        "min_key": least,
        "max_key": greatest,
        "schema": schema,
        "schema_hash": schema_hash(schema),
        "files": [{"name": PART, "rows": rows, "bytes": size, **file_checksums(file)}],
        "source_run": source_run,
        "generator_version": GENERATOR_VERSION,
        **(more or {}),
    }
    manifest["content_sha256"] = content_sha256(manifest)
    manifest["created"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_whole(folder / NAME, json.dumps(manifest, indent=1) + "\n")
    return manifest
