"""Makes clean lines messy, row by row, and counts what it did. Which rows follows from the day, the table and the row's place alone."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .draws import Places, below, stream
from .settings import Messiness
from .tables import Column, Table

CLEANED = ("padded", "quoted", "other_case", "other_timestamp", "other_amount", "left_out")
"""Mess that the export cleans: the row arrives."""
SPOILED = ("unreadable", "broken_line", "wrong_day")
"""Mess that costs the row itself."""
ADDED = ("doubled", "orphan")
"""Mess that adds a row, which is rejected; the row itself arrives."""

_RATES: dict[Messiness, dict[str, int]] = {
    "none": {},
    "light": {**dict.fromkeys(CLEANED, 2_000), "doubled": 200},
    "medium_mess": {
        **dict.fromkeys(CLEANED, 8_000),
        **{"doubled": 1_000, "orphan": 500, "unreadable": 1_000, "broken_line": 500, "wrong_day": 200},
    },
    "heavy_mess": {
        **dict.fromkeys(CLEANED, 25_000),
        **{"doubled": 5_000, "orphan": 3_000, "unreadable": 6_000, "broken_line": 3_000, "wrong_day": 1_000},
    },
}
"""Rows in a million that get each kind of mess, in every table that it fits."""

_MILLION = 1_000_000
_UNREADABLE = ("n/a", "???", "12,3.4.5")
_ORPHAN_OFFSET = 1_000_000_000_000
"""Added to a parent's id gives one that no parent has."""


def _fits(kind: str, table: Table) -> bool:
    kinds = {column.kind for column in table.columns}
    return {
        "other_case": "word" in kinds,
        "other_timestamp": "timestamp" in kinds,
        "other_amount": "money" in kinds,
        "left_out": any(not column.required for column in table.columns),
        "orphan": table.parent is not None,
        "wrong_day": table.event is not None,
    }.get(kind, True)


@dataclass(frozen=True)
class Mess:
    """The mess of one table under one level."""

    seed: str
    table: Table
    level: Messiness

    @cached_property
    def kinds(self) -> list[str]:
        """The kinds that are in use and fit the table."""
        return [kind for kind in _RATES[self.level] if _fits(kind, self.table)]

    @cached_property
    def _columns(self) -> dict[str, list[tuple[int, Column]]]:
        """The columns, with their places in a line, that each kind can befall."""
        columns = list(enumerate(self.table.columns))
        return {kind: [(place, column) for place, column in columns if _befalls(kind, column, self.table)] for kind in self.kinds}

    def of(self, day: date, places: Places) -> np.ndarray:
        """Return for each place the index of its kind in `kinds`; their number for a row that stays clean."""
        limits = np.cumsum([_RATES[self.level][kind] for kind in self.kinds], dtype=np.int64)
        return np.searchsorted(limits, below(stream(self.seed, day, self.table.name, "mess"), places, _MILLION), side="right")

    def spoils(self, day: date, places: Places) -> np.ndarray:
        """Return whether the row at each place is lost."""
        spoiling = [index for index, kind in enumerate(self.kinds) if kind in SPOILED]
        return np.isin(self.of(day, places), spoiling)

    def apply(self, day: date, places: Places, lines: pa.StringArray, counts: Counter[str]) -> pa.StringArray:
        """Return the lines with their mess; a row that was added stands in the line of the one it came from. Counts each kind."""
        kinds = self.of(day, places)
        messy = np.flatnonzero(kinds < len(self.kinds))
        if len(messy) == 0:
            return lines
        details = below(stream(self.seed, day, self.table.name, "detail"), places[messy], 1 << 30)
        replaced = []
        for line, kind, detail in zip(lines.take(pa.array(messy)).to_pylist(), kinds[messy].tolist(), details.tolist(), strict=True):
            name = self.kinds[kind]
            counts[name] += 1
            replaced.append(self._line(name, line, detail))
        return pc.replace_with_mask(lines, pa.array(kinds < len(self.kinds)), pa.array(replaced, pa.string()))

    def _line(self, kind: str, line: str, detail: int) -> str:
        if kind == "doubled":
            return f"{line}\n{line}"
        if kind == "broken_line":
            return f"{line},{detail % 100}" if detail % 2 else f'"{line}'
        fields = line.split(",")
        if kind == "orphan":
            fields[0] = str(int(fields[0]) + _ORPHAN_OFFSET)
            return f"{line}\n{','.join(fields)}"
        columns = self._columns[kind]
        place, column = columns[detail % len(columns)]
        fields[place] = _value(kind, column, fields[place], detail // len(columns))
        return ",".join(fields)


def _befalls(kind: str, column: Column, table: Table) -> bool:
    """Whether this kind of mess can befall the column."""
    return {
        "other_case": column.kind == "word",
        "other_timestamp": column.kind == "timestamp",
        "other_amount": column.kind == "money",
        "left_out": not column.required,
        "unreadable": column.kind in ("money", "timestamp", "integer"),
        "wrong_day": column.name == table.event,
    }.get(kind, True)


def _value(kind: str, column: Column, value: str, detail: int) -> str:
    if kind == "padded":
        return f"  {value} "
    if kind == "quoted":
        return f'"{value}"'
    if kind == "other_case":
        return value.upper() if detail % 2 else value.title()
    if kind == "other_timestamp":
        moment = datetime.fromisoformat(value)
        return f"{moment:%m/%d/%Y %I:%M:%S %p}" if detail % 2 else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    if kind == "other_amount":
        return f'"${float(value):,.2f}"'
    if kind == "left_out":
        return ""
    if kind == "wrong_day":
        return f"{1990 + detail % 8}{value[4:8]}01{value[10:]}"
    if column.kind == "timestamp" and detail % 4 == 0:
        return f"{value[:4]}-13-45 00:00:00"
    text = _UNREADABLE[detail % len(_UNREADABLE)]
    return f'"{text}"' if "," in text else text
