"""Moments of a day, and how the sources write them."""

import random
from datetime import UTC, date, datetime, timedelta


def at_hour(day: date, hour: int) -> datetime:
    """Return the full hour of the day in UTC."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def moment_of(rng: random.Random, day: date) -> datetime:
    """Return any second of the day in UTC."""
    return at_hour(day, 0) + timedelta(seconds=rng.randrange(86_400))


def written(moment: datetime) -> str:
    """Return the moment as text that BigQuery reads as a TIMESTAMP."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
