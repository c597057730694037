"""The batches: what happens on a day, and the day and hour at which the warehouse hears of it."""

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from .moments import at_hour, written
from .people_sources import gmail_messages, manual_events
from .shop_sources import gadget_changes, shopify_events
from .tables import GADGET, GMAIL, MANUAL, SHOPIFY, TABLES, Batch
from .world import HISTORY_DAYS, World

_SOURCES = {GADGET: gadget_changes, SHOPIFY: shopify_events, MANUAL: manual_events, GMAIL: gmail_messages}
# Salespeople write their notes up when they find the time; machines are late when a connection was down.
_LATE = {GADGET: 0.04, SHOPIFY: 0.04, MANUAL: 0.2, GMAIL: 0.02}
_TWICE = 0.05


def make_days(world: World, first_day: date) -> Iterator[tuple[date, Batch]]:
    """Yield day after day, without end. The world stands as on the day yielded; every day needs those before it."""
    waiting: defaultdict[date, Batch] = defaultdict(lambda: {table: [] for table in TABLES})
    day = first_day - timedelta(days=HISTORY_DAYS)
    while True:
        for table, make in _SOURCES.items():
            # A stream of its own, so that no source changes when another is given more to tell.
            rng = random.Random(f"{world.seed}/{day.isoformat()}/{table}")
            for occurred_at, row in make(rng, day, world):
                for synced_at in _arrivals(rng, table, occurred_at, first_day):
                    waiting[synced_at.date()][table].append(row | {"synced_at": written(synced_at)})
        if day >= first_day:
            batch = waiting.pop(day)
            for table, rows in batch.items():
                random.Random(f"{world.seed}/{day.isoformat()}/{table}/order").shuffle(rows)
            yield day, batch
        day += timedelta(days=1)


def _arrivals(rng: random.Random, table: str, occurred_at: datetime, first_day: date) -> list[datetime]:
    if table == GMAIL:
        first = at_hour(first_day, 1)
        arrival = at_hour(occurred_at.date(), occurred_at.hour) + timedelta(hours=1)
    else:
        first = at_hour(first_day, 23)
        arrival = at_hour(occurred_at.date(), 23) + timedelta(days=occurred_at.hour == 23)
    if rng.random() < _LATE[table]:
        arrival += timedelta(days=rng.randint(1, 5))
    arrival = max(arrival, first)
    if table == SHOPIFY and rng.random() < _TWICE:
        return [arrival, arrival + timedelta(days=rng.choice((0, 0, 1, 3)))]
    return [arrival]
