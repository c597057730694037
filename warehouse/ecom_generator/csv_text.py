"""Columns as CSV text, whole columns at a time."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Texts = pa.StringArray


def integers(values: np.ndarray) -> Texts:
    """Return whole numbers as text."""
    return pa.array(values).cast(pa.string())


def money(cents: np.ndarray) -> Texts:
    """Return int64 cents as amounts such as 12.50."""
    # A decimal of 128 bits is two words; the second is all sign.
    words = np.stack((cents, cents >> 63), axis=1).astype("<i8")
    decimals = pa.Array.from_buffers(pa.decimal128(12, 2), len(cents), [None, pa.py_buffer(words)])
    return decimals.cast(pa.string())


def timestamps(seconds: np.ndarray) -> Texts:
    """Return int64 seconds since 1970 as 2020-01-31 13:05:00."""
    return pa.array(seconds.view("datetime64[s]")).cast(pa.string())


def words(indexes: np.ndarray, of: tuple[str, ...]) -> Texts:
    """Return the words at the indexes."""
    return pa.array(of, pa.string()).take(pa.array(indexes))


def lines(columns: list[Texts]) -> Texts:
    """Return one line per row, without its end. The columns hold neither commas nor quotes."""
    return pc.binary_join_element_wise(*columns, ",")


def encoded(rows: Texts) -> memoryview:
    """Return the lines one after the other, each with its end."""
    ended = pc.binary_join_element_wise(rows, "", "\n")
    offsets = np.frombuffer(ended.buffers()[1], dtype=np.int32)[ended.offset : ended.offset + len(ended) + 1]
    return memoryview(ended.buffers()[2])[offsets[0] : offsets[-1]] if len(ended) else memoryview(b"")
