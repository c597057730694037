"""The lines of a text file as Arrow batches, whatever bytes are in them: each with its number, none lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from .refusal import Refusal

SCHEMA = pa.schema([("_number", pa.int64()), ("_line", pa.string())])
"""`_number` counts from 1 as editors do; `_line` is without its line end, which may be that of Windows."""

_BLOCK = 4 << 20
_LINE_END = 10


def read_lines(file: Path, header: str) -> Iterator[pa.RecordBatch]:
    """Return the lines that follow the header, a few megabytes at a time; bytes that are no UTF-8 are shown as \\xff.

    Raises Refusal, at once, when there is no such file or its first line is not the header.
    """
    try:
        source = open(file, "rb")
    except FileNotFoundError:
        raise Refusal(f"There is no {file}; generate the chunk again.") from None
    found = source.readline().decode("utf-8-sig", "backslashreplace").strip()
    if found != header:
        source.close()
        raise Refusal(f"The first line of {file} is {found[:200]!r}, not {header!r}; generate the chunk again.")
    return _batches(source)


def _batches(source: BinaryIO) -> Iterator[pa.RecordBatch]:
    with source:
        number, rest = 2, b""
        while block := source.read(_BLOCK):
            whole, end, rest = (rest + block).rpartition(b"\n")
            if end:
                batch = _batch(number, whole + end)
                number += len(batch)
                yield batch
        if rest:
            yield _batch(number, rest.rstrip(b"\r") + b"\n")


def _batch(number: int, text: bytes) -> pa.RecordBatch:
    """Return the lines of a text that ends with a line end; `number` is that of its first."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == _LINE_END)
    joined = text.replace(b"\n", b"")
    offsets = np.concatenate(([0], ends - np.arange(len(ends)))).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(joined))
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        lines = pa.array([line.decode("utf-8", "backslashreplace") for line in text[:-1].split(b"\n")], pa.string())
    return pa.record_batch([pa.array(np.arange(number, number + len(ends))), lines], schema=SCHEMA)
