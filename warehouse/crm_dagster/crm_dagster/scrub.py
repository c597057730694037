"""Scrubs the text of a landing file: each line becomes a row for the warehouse or a reject with its reason. Pure."""

import csv
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from . import normalise

COLUMNS = ("conversion_id", "unique_key", "order_id", "email", "phone", "loyalty_id", "store", "amount", "currency", "converted_at", "updated_at", "channel")


class UnusableFile(Exception):
    """The file as a whole can't be read; the message says why, in a sentence without values from the file."""


class _Rejected(Exception):
    """This line is refused; the message is the reason."""


@dataclass
class Scrubbed:
    """The day's rows and rejects as JSON-ready records, and how many lines were read."""

    lines: int = 0
    blank_lines: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)


def scrub(text: str, day: date) -> Scrubbed:
    """Scrub the text of the file of `day`. Raises UnusableFile when its header isn't the agreed one."""
    result = Scrubbed()
    header: list[str] | None = None
    # A line is a row: a quote that never closes spoils its own line only, not the rest of the file.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line.strip(" \t,"):
            result.blank_lines += 1
        elif header is None:
            header = [name.strip().lower() for name in line.split(",")]
            missing = sorted(set(COLUMNS) - set(header))
            if missing:
                raise UnusableFile(f"its header lacks {', '.join(missing)}")
        else:
            result.lines += 1
            record = {"conversion_date": day.isoformat(), "source_line": number}
            try:
                result.rows.append(record | _row(_fields(line, header), day))
            except _Rejected as reason:
                result.rejects.append(record | {"reason": str(reason), "line": line})
    # The line after the last line end is no blank line.
    result.blank_lines -= 1 if text.endswith("\n") else 0
    return result


def _fields(line: str, header: list[str]) -> dict[str, str]:
    if "\ufffd" in line or "\x00" in line:
        raise _Rejected("malformed")
    try:
        [values] = csv.reader([line.strip()], strict=True)
    except (csv.Error, ValueError):
        raise _Rejected("malformed") from None
    while len(values) > len(header) and not values[-1].strip():
        values.pop()
    if len(values) != len(header):
        raise _Rejected("field_count")
    return dict(zip(header, values, strict=True))


def _row(fields: dict[str, str], day: date) -> dict[str, Any]:
    conversion_id, unique_key = fields["conversion_id"].strip(), fields["unique_key"].strip()
    if not conversion_id or not unique_key:
        raise _Rejected("missing_key")
    amount = normalise.amount(fields["amount"])
    if amount is None:
        raise _Rejected("bad_amount")
    converted_at, updated_at = normalise.moment(fields["converted_at"]), normalise.moment(fields["updated_at"])
    if converted_at is None or (updated_at is None and fields["updated_at"].strip()):
        raise _Rejected("bad_timestamp")
    if converted_at.date() != day:
        raise _Rejected("out_of_day")
    return {
        "conversion_id": conversion_id,
        "unique_key": unique_key,
        "order_id": fields["order_id"].strip(),
        "email": normalise.email(fields["email"]),
        "phone": normalise.phone(fields["phone"]),
        "loyalty_id": normalise.loyalty_id(fields["loyalty_id"]),
        "store": fields["store"].strip(),
        "amount": str(amount),
        "currency": fields["currency"].strip().upper(),
        "converted_at": converted_at.isoformat(),
        "updated_at": (updated_at or converted_at).isoformat(),
        "channel": fields["channel"].strip().lower(),
    }
