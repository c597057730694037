"""One day's landing file: clean rows of known customers, then the mess, then the day's defects, then gzip."""

import gzip
import io
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from .customers import Customer

COLUMNS = ("conversion_id", "unique_key", "order_id", "email", "phone", "loyalty_id", "store", "amount", "currency", "converted_at", "updated_at", "channel")
ROWS_PER_DAY = 2000
DUPLICATE_KEY_DAYS = frozenset(map(date.fromisoformat, ("2025-07-17", "2025-07-24", "2025-08-02", "2025-08-09")))
CLOCK_RESET_DAYS = frozenset(map(date.fromisoformat, ("2025-07-19", "2025-07-28", "2025-08-05", "2025-08-09")))

STORES = ("Hingham", "Boston Back Bay", "Westport", "Chestnut Hill", "Princeton", "Naples", '"Paramus, NJ"', '"Evanston, IL"')
CHANNELS = ("store", "web", "phone", "app")

Row = dict[str, str]


def make_day_file(seed: str, day: date, customers: list[Customer], *, unknown_defect: bool = False) -> bytes:
    """Return the gzip bytes of the day's file; the same arguments always give the same bytes."""
    rng = random.Random(f"{seed}/{day.isoformat()}")
    rows = list(_clean_rows(rng, day, customers))
    defects: list[Row] = []
    if day in DUPLICATE_KEY_DAYS:
        defects += _sent_again(rng, rows)
    if day in CLOCK_RESET_DAYS:
        _reset_clock(rng, rows)
    if unknown_defect:
        for row in rng.sample(rows, 3):
            row["currency"] = "ZZZ"
    _mess_up(rng, day, rows)
    lines = [_line(row) for row in rows + defects]
    _mess_up_lines(rng, lines)
    end_of_line = rng.choice(("\n", "\n", "\r\n"))
    mark = "\ufeff" if rng.random() < 0.3 else ""
    return compress(mark + end_of_line.join([",".join(COLUMNS), *lines, ""]))


def compress(text: str) -> bytes:
    """Return the text as gzip without name or time, so that equal text gives equal bytes."""
    target = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0) as file:
        file.write(text.encode())
    return target.getvalue()


def _clean_rows(rng: random.Random, day: date, customers: list[Customer]) -> Iterator[Row]:
    order = 0
    for number in range(ROWS_PER_DAY + rng.randint(-60, 60)):
        if number == 0 or rng.random() < 0.7:  # otherwise another article of the same order
            order += 1
            customer = rng.choice(customers)
            converted_at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=rng.randrange(86_400))
            store, channel = rng.choice(STORES), rng.choice(CHANNELS)
            email = rng.choice(customer.emails) if rng.random() < 0.8 else ""
            phone = rng.choice(customer.phones) if customer.phones and rng.random() < 0.6 else ""
            loyalty_id = customer.loyalty_id if customer.loyalty_id and rng.random() < 0.7 else ""
        order_id = f"T{day:%y%m%d}{order:05d}"
        yield {
            "conversion_id": f"cv-{day:%Y%m%d}-{number:05d}",
            "unique_key": f"{order_id}-{number:05d}",
            "order_id": order_id,
            "email": email,
            "phone": phone,
            "loyalty_id": loyalty_id,
            "store": store,
            "amount": f"{rng.randint(900, 42_000) / 100:.2f}",
            "currency": "CAD" if rng.random() < 0.04 else "USD",
            "converted_at": _timestamp(rng, converted_at),
            "updated_at": f"{converted_at + timedelta(seconds=rng.randrange(5, 900)):%Y-%m-%dT%H:%M:%SZ}",
            "channel": channel,
        }


def _timestamp(rng: random.Random, moment: datetime) -> str:
    style = rng.random()
    if style < 0.8:
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    if style < 0.9:
        return f"{moment:%m/%d/%Y %I:%M:%S %p}"
    return f"{moment - timedelta(hours=4):%Y-%m-%d %H:%M:%S}-04:00"


def _sent_again(rng: random.Random, rows: list[Row]) -> list[Row]:
    """A till sends conversions a second time, some corrected later, some exactly as they were."""
    again = []
    for row in rng.sample(rows, 14):
        copy = dict(row)
        if rng.random() < 0.7:
            copy["amount"] = f"{float(row['amount']) - 5:.2f}"
            copy["updated_at"] = f"{datetime.fromisoformat(row['updated_at']) + timedelta(minutes=rng.randint(10, 300)):%Y-%m-%dT%H:%M:%SZ}"
        again.append(copy)
    return again


def _reset_clock(rng: random.Random, rows: list[Row]) -> None:
    """A till lost its clock and stamps its rows with the first minutes of 2000."""
    for number, row in enumerate(rng.sample(rows, 9)):
        row["updated_at"] = f"2000-01-01T00:{number:02d}:07Z"


def _mess_up(rng: random.Random, day: date, rows: list[Row]) -> None:
    """Write values the way tills and people do. What can be read stays readable; about one row in a hundred can't."""
    for row in rows:
        row["email"] = _messy_email(rng, row["email"])
        row["phone"] = _messy_phone(rng, row["phone"])
        row["amount"] = _messy_amount(rng, row["amount"])
        if rng.random() < 0.1:
            row["currency"] = rng.choice((row["currency"].lower(), f" {row['currency']} "))
        if rng.random() < 0.05:
            row["loyalty_id"] = row["loyalty_id"].lower()
        if rng.random() < 0.05:
            row["channel"] = row["channel"].upper()
    # Rows that no cleaning can save. The defects of the day are kept out of it: they must reach the warehouse.
    spoilable = [row for row in rows[-600:] if not row["updated_at"].startswith("2000") and row["currency"] != "ZZZ"]
    for number, row in enumerate(rng.sample(spoilable, 21)):
        kind = number % 7
        if kind == 0:
            row["converted_at"] = rng.choice(("2025-13-45", "yesterday", "00/00/0000 00:00:00 AM"))
        elif kind == 1:
            row["amount"] = rng.choice(("", "n/a", "12,3.4.5"))
        elif kind == 2:
            other_day = day + timedelta(days=rng.choice((-2, -1, 1)))
            row["converted_at"] = f"{other_day.isoformat()}T{rng.randrange(24):02d}:30:00Z"
        elif kind == 3:
            row["conversion_id"] = ""
        elif kind == 4:
            row["unique_key"] = "  "
        elif kind == 5:
            row["store"] = "Falls Church, VA"  # a delimiter without quotes: one field too many
        else:
            row["store"] = '"Mystic'  # a quote that never closes


def _messy_email(rng: random.Random, email: str) -> str:
    if not email:
        return rng.choice(("", "", "", "n/a", "none", "unknown@"))
    style = rng.random()
    if style < 0.1:
        return email.upper()
    if style < 0.2:
        return email.title()
    if style < 0.3:
        return f"  {email} "
    return email


def _messy_phone(rng: random.Random, phone: str) -> str:
    if not phone:
        return rng.choice(("", "", "", "N/A", "555-0100", "000-000-0000"))
    area, exchange, line = phone[:3], phone[3:6], phone[6:]
    return rng.choice(
        (
            phone,
            f"({area}) {exchange}-{line}",
            f"{area}-{exchange}-{line}",
            f"{area}.{exchange}.{line}",
            f"{area} {exchange} {line}",
            f"+1 {area} {exchange} {line}",
            f"1-{area}-{exchange}-{line}",
            f"+1{phone}",
            f"001{phone}",
            f"({area}){exchange}{line}",
            f"{area}-{exchange}-{line} ext. {rng.randint(1, 99)}",
            f" {area}/{exchange}-{line} ",
        )
    )


def _messy_amount(rng: random.Random, amount: str) -> str:
    style = rng.random()
    if style < 0.1:
        return f"${amount}"
    if style < 0.15:
        return f" {amount} "
    if style < 0.2:
        return f"{amount} USD"
    if style < 0.22:
        return f'"$1,{int(float(amount)) % 1000:03d}.00"'
    if style < 0.24:
        return f"({amount})"
    return amount


def _line(row: Row) -> str:
    # Not csv.writer: a tidy writer would quote away the very faults this file is about.
    return ",".join(row[column] for column in COLUMNS)


def _mess_up_lines(rng: random.Random, lines: list[str]) -> None:
    for position in rng.sample(range(len(lines)), 12):
        lines[position] += rng.choice((",", ",,", "  "))
    for _ in range(8):
        lines.insert(rng.randrange(len(lines)), rng.choice(("", "   ", ",,,,,,,,,,,")))
