"""Command line: make the order items that retailers' shops tell of, day by day, in BigQuery."""

import argparse
import sys
from datetime import date, timedelta

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import RequestException

from sample_sources import arguments as types
from sample_sources.delivery import load

from .items import COLUMNS, TABLE, items_of_day


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sample_order_items",
        description="Make order items by day of ingestion; the same seed gives the same rows. Running a day again changes nothing.",
    )
    parser.add_argument("--from", dest="first", type=types.day, default=date(2025, 11, 15), metavar="DAY", help="first day of ingestion (default 2025-11-15)")
    parser.add_argument("--days", type=int, default=10, metavar="N", help="how many days (default 10)")
    parser.add_argument("--orders", type=int, default=300, metavar="N", help="items ordered a day (default 300)")
    parser.add_argument("--over-again", type=int, default=0, metavar="N", help="old items, of orders 30 to 400 days before, that are ingested again each day (default 0)")
    parser.add_argument("--project", default="narvar-data-lake", help="project of the dataset (default narvar-data-lake)")
    parser.add_argument("--dataset", default="return_insights_base", help="dataset of the table order_items (default return_insights_base)")
    parser.add_argument("--location", default="US", help="location of the dataset (default US)")
    parser.add_argument("--seed", default="orders", help="another seed gives other rows (default orders)")
    options = parser.parse_args(arguments)
    if options.days < 1:
        parser.error("--days must be 1 or more")
    if options.orders < 0 or options.over_again < 0:
        parser.error("--orders and --over-again must be 0 or more")
    return options


def main(arguments: list[str]) -> int:
    """Make and deliver the days; 0 when all are in place, 1 when BigQuery did not take them."""
    options = _parse(arguments)
    days = [options.first + timedelta(days=n) for n in range(options.days)]
    batches = {day: {TABLE: items_of_day(options.seed, day, options.orders, options.over_again)} for day in days}
    try:
        load(
            options.project,
            options.location,
            options.dataset,
            {TABLE: COLUMNS},
            "ingestion_timestamp",
            batches,
            partitioned_by="order_date",
        )
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        print(f"The rows could not be delivered: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    print(f"{len(days)} days, {days[0]} to {days[-1]}, in {options.project}.{options.dataset}.{TABLE}: {sum(len(batch[TABLE]) for batch in batches.values())} rows.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
