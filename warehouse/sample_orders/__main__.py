"""Command line: make the order events of each day's hourly batches and deliver them to BigQuery or a folder."""

import argparse
import sys
from datetime import date, timedelta
from pathlib import Path

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import RequestException

from sample_sources import arguments as types
from sample_sources.delivery import load, write_files

from .batches import COLUMNS, TABLE, arrivals_on, row_of
from .devices import Arrival


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sample_orders", description="Make hourly batches of order events in <client>_landing.orders_landing; the same seed gives the same rows.")
    parser.add_argument("--client", type=types.client, default="market", help="prefix of the dataset (default market: market_landing)")
    parser.add_argument("--project", default="talbots-og-map-dev", help="project of the dataset (default talbots-og-map-dev)")
    parser.add_argument("--location", default="US", help="location of the dataset (default US)")
    parser.add_argument("--first-day", type=types.day, default=date(2025, 7, 1), metavar="DAY", help="the day of the first orders (default 2025-07-01)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--days", type=int, default=30, metavar="N", help="how many days from the first (default 30)")
    which.add_argument("--only-day", type=types.day, metavar="DAY", help="deliver this day's batches alone, the same as in a run of all days from --first-day")
    parser.add_argument("--orders", type=int, default=200, metavar="N", help="orders placed on each day, 1 to 99999 (default 200)")
    parser.add_argument("--late", type=float, default=5, metavar="PERCENT", help="how many events of a hundred come late (default 5)")
    parser.add_argument("--seed", default="market", help="another seed gives other rows (default market)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write newline-delimited JSON into this folder instead of BigQuery")
    options = parser.parse_args(arguments)
    if options.days < 1:
        parser.error("--days must be 1 or more")
    if not 1 <= options.orders <= 99_999:
        parser.error("--orders must be 1 to 99999")
    if not 0 <= options.late <= 100:
        parser.error("--late must be 0 to 100")
    if options.only_day and options.only_day < options.first_day:
        parser.error(f"the day {options.only_day} lies before the first day {options.first_day}")
    return options


def main(arguments: list[str]) -> int:
    """Make and deliver the days; 0 when all are in place, 1 when BigQuery did not take them."""
    options = _parse(arguments)
    days = [options.only_day] if options.only_day else [options.first_day + timedelta(days=n) for n in range(options.days)]
    arrivals = {day: arrivals_on(options.seed, day, options.orders, options.late / 100, options.first_day) for day in days}
    batches = {day: {TABLE: [row_of(arrival) for arrival in arrived]} for day, arrived in arrivals.items()}
    dataset = f"{options.client}_landing"
    try:
        if options.out:
            write_files(options.out, batches)
        else:
            load(options.project, options.location, dataset, {TABLE: COLUMNS}, "batch_hour", batches)
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        print(f"The rows could not be delivered: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    print(f"{len(days)} days, {days[0]} to {days[-1]}, in {options.out or f'{options.project}.{dataset}'}:")
    _count([arrival for arrived in arrivals.values() for arrival in arrived])
    return 0


def _count(arrivals: list[Arrival]) -> None:
    first = [arrival for arrival in arrivals if not arrival.again]
    changes = [arrival.event.change for arrival in first]
    counts = {
        "late": sum(arrival.late for arrival in first),
        "sent twice": len(arrivals) - len(first),
        "corrected amounts": changes.count("corrected"),
        "moved to another date": changes.count("moved"),
    }
    print(f"  {TABLE}: {len(arrivals)} rows, {len(first)} events")
    for name, count in counts.items():
        print(f"  {name}: {count} ({100 * count / max(len(first), 1):.1f} % of the events)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
