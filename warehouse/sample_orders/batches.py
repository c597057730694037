"""The hourly batches of a day, as rows of orders_landing."""

from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from .devices import LONGEST_DAYS, Arrival, arrivals_of_orders

TABLE = "orders_landing"
COLUMNS = {
    "order_id": "STRING NOT NULL",
    "event_id": "STRING NOT NULL",
    "event_time": "TIMESTAMP NOT NULL",
    "event_ingested_at": "TIMESTAMP",
    "batch_hour": "TIMESTAMP NOT NULL",
    "order_date": "DATE NOT NULL",
    "store": "STRING NOT NULL",
    "amount": "NUMERIC NOT NULL",
}

_arrivals = lru_cache(maxsize=LONGEST_DAYS + 1)(lambda *arguments: list(arrivals_of_orders(*arguments)))


def arrivals_on(seed: str, day: date, orders: int, late: float, first_day: date) -> list[Arrival]:
    """Return what arrives on a day (UTC), by time of arrival; it follows from the orders of that day and the days before it."""
    placed_on = [day - timedelta(days=back) for back in range(min(LONGEST_DAYS, (day - first_day).days) + 1)]
    arrivals = [arrival for placed in placed_on for arrival in _arrivals(seed, placed, orders, late, first_day) if arrival.arrived_at.date() == day]
    return sorted(arrivals, key=lambda arrival: (arrival.arrived_at, arrival.event.event_id))


def row_of(arrival: Arrival) -> dict[str, Any]:
    """Return the row that the arrival's batch brings."""
    event = arrival.event
    return {
        "order_id": event.order_id,
        "event_id": event.event_id,
        "event_time": event.event_time.isoformat(),
        "event_ingested_at": arrival.event_ingested_at and arrival.event_ingested_at.isoformat(),
        "batch_hour": arrival.arrived_at.replace(minute=0, second=0, microsecond=0).isoformat(),
        "order_date": event.order_date.isoformat(),
        "store": event.store,
        "amount": str(event.amount),
    }
