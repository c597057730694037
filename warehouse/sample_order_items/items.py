"""The order items that are ingested on one day: new ones, late ones, and old ones over again."""

import random
from datetime import UTC, date, datetime, time, timedelta

from sample_sources.tables import Row

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

# Of the items that are ingested over again; the first of them has nearly all.
RETAILERS = {"nicandzoe": 342, "icebreakerapac": 6, "skims": 5, "milly": 4, "stevemadden": 3}
OVER_AGAIN_HOURS = (8, 9, 12, 13, 15, 16, 17, 18, 19)
LATE = 0.08
RETURNED = 0.1
RETURNED_OVER_AGAIN = 0.02
PRODUCTS = 40
OLDEST_DAYS = 400


def items_of_day(seed: str, day: date, orders: int, over_again: int) -> list[Row]:
    """Return the rows that are ingested on `day`: the day's own, late ones of the two days before, and old ones."""
    rows = []
    for age in (0, 1, 2):
        ordered = day - timedelta(days=age)
        rows += [row for row, lateness in _ordered(seed, ordered, orders) if lateness == age]
    rng = random.Random(f"{seed}/{day}/over again")
    names, weights = zip(*RETAILERS.items(), strict=True)
    for number in range(over_again):
        retailer = rng.choices(names, weights)[0]
        ordered = day - timedelta(days=rng.randint(30, OLDEST_DAYS))
        row = _item(rng, retailer, ordered, f"{retailer}-{ordered:%Y%m%d}-{number % 50}", rng.random() < RETURNED_OVER_AGAIN)
        rows.append(_ingested(row, day, rng.choice(OVER_AGAIN_HOURS), rng))
    return rows


def _ordered(seed: str, day: date, orders: int) -> list[tuple[Row, int]]:
    """The items ordered on a day, each with the days that it is late; an item that comes late has a version on time as well."""
    rng = random.Random(f"{seed}/{day}")
    rows = []
    for number in range(orders):
        retailer = rng.choice(list(RETAILERS))
        row = _item(rng, retailer, day, f"{retailer}-{day:%Y%m%d}-n{number}", False)
        rows.append((_ingested(row, day, rng.randint(0, 23), rng), 0))
        if rng.random() < LATE:
            late = rng.randint(1, 2)
            again = {**row, "is_returned": rng.random() < RETURNED * 5}
            rows.append((_ingested(again, day + timedelta(days=late), rng.randint(0, 23), rng), late))
    return rows


def _item(rng: random.Random, retailer: str, ordered: date, item: str, returned: bool) -> Row:
    product = rng.randint(1, PRODUCTS)
    return {
        "order_item_id": item,
        "retailer": retailer,
        "product_id": f"{retailer}-p{product}",
        "product_name": f"Product {product}",
        "quantity": rng.randint(1, 3),
        "price": f"{rng.randint(900, 20000) / 100:.2f}",
        "is_returned": returned,
        "order_date": ordered.isoformat(),
    }


def _ingested(row: Row, day: date, hour: int, rng: random.Random) -> Row:
    moment = datetime.combine(day, time(hour, rng.randint(0, 59), rng.randint(0, 59), rng.randint(0, 999_999)), UTC)
    return {**row, "ingestion_timestamp": moment.isoformat()}
