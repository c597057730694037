"""What devices tell of the orders placed on one day, and when the warehouse hears of it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

STORES = ("Hingham", "Boston Back Bay", "Westport", "Chestnut Hill", "Princeton", "Naples")
CORRECTED = 0.04
"""Share of orders whose amount is corrected within two days."""
MOVED = 0.01
"""Share of orders that a correction within three days moves to another date."""
MOVES = (-9, -3, -2, -1, 1, 2, 5)
"""By how many days."""
TWICE = 0.02
"""Share of events that a device sends again because it did not hear that they had arrived."""
RETRY_HOURS = (1, 2, 4, 8, 16, 32, 64)
"""How long a device waits before each next try."""
RETRY_SUCCEEDS = 0.4
"""Chance of each try; the last always succeeds."""
STAMPED = 0.5
"""Share of events that carry event_ingested_at though they are on time; the others leave it null."""
LONGEST_DAYS = 15
"""No event arrives later than this after the day of its order: three days, twice through the whole queue, and a rest."""


@dataclass(frozen=True)
class Event:
    """A version of an order, as its device made it at `event_time`; `change` is placed, corrected or moved."""

    order_id: str
    event_id: str
    event_time: datetime
    order_date: date
    store: str
    amount: Decimal
    change: str


@dataclass(frozen=True)
class Arrival:
    """An event that reaches the warehouse. `event_ingested_at` is None where it came on time and nobody noted when."""

    event: Event
    arrived_at: datetime
    event_ingested_at: datetime | None
    late: bool
    again: bool


def arrivals_of_orders(seed: str, placed_on: date, orders: int, late: float, first_day: date) -> Iterator[Arrival]:
    """Yield all that arrives, on that day or after it, of `orders` orders placed on a day (UTC).

    `late` is the share of events that the device has to queue; no order moves before `first_day`.
    """
    rng = random.Random(f"{seed}/{placed_on.isoformat()}")
    for number in range(orders):
        for event in _versions(rng, placed_on, number, first_day):
            queued = rng.random() < late
            arrived_at = event.event_time + (_in_queue(rng) if queued else timedelta(seconds=rng.randint(0, 40)))
            stamped = rng.random() < STAMPED
            if queued or stamped:
                yield Arrival(event, arrived_at, arrived_at, late=queued, again=False)
            else:
                yield Arrival(event, event.event_time, None, late=False, again=False)
            if rng.random() < TWICE:
                arrived_again_at = arrived_at + _in_queue(rng)
                yield Arrival(event, arrived_again_at, arrived_again_at, late=queued, again=True)


def _versions(rng: random.Random, placed_on: date, number: int, first_day: date) -> Iterator[Event]:
    order_id = f"{placed_on:%y%m%d}-{number:05d}"
    placed_at = datetime(placed_on.year, placed_on.month, placed_on.day, tzinfo=UTC) + timedelta(milliseconds=rng.randrange(86_400_000))
    event = Event(order_id, f"{order_id}-1", placed_at, placed_on, rng.choice(STORES), _amount(rng), "placed")
    yield event
    changes = []
    if rng.random() < CORRECTED:
        changes.append((placed_at + timedelta(seconds=rng.randrange(60, 2 * 86_400)), "corrected"))
    if rng.random() < MOVED:
        changes.append((placed_at + timedelta(seconds=rng.randrange(60, 3 * 86_400)), "moved"))
    for count, (event_time, change) in enumerate(sorted(changes), start=2):
        event = replace(event, event_id=f"{order_id}-{count}", event_time=event_time, change=change)
        if change == "corrected":
            event = replace(event, amount=_amount(rng))
        else:
            moved_to = placed_on + timedelta(days=rng.choice(MOVES))
            event = replace(event, order_date=moved_to if moved_to >= first_day else placed_on + timedelta(days=1))
        yield event


def _amount(rng: random.Random) -> Decimal:
    return Decimal(rng.randrange(500, 30_000)) / 100


def _in_queue(rng: random.Random) -> timedelta:
    """How long an event is under way by the queue: hours to five days."""
    hours = 0
    for wait in RETRY_HOURS:
        hours += wait
        if rng.random() < RETRY_SUCCEEDS:
            break
    return timedelta(hours=hours, seconds=rng.randrange(600))
