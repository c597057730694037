"""Command line: make the source tables' rows day by day and deliver them to BigQuery or a folder."""

import argparse
import json
import sys
from datetime import date, timedelta
from pathlib import Path

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import RequestException

from . import arguments as types
from .days import make_days
from .delivery import load, write_files
from .tables import TABLES
from .truth import make_truth
from .world import make_world


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sample_sources", description="Make the source tables of a headless CRM in <client>_raw; the same seed gives the same rows.")
    parser.add_argument("--client", type=types.client, default="headless", help="prefix of the dataset (default headless: headless_raw)")
    parser.add_argument("--project", default="talbots-og-map-dev", help="project of the dataset (default talbots-og-map-dev)")
    parser.add_argument("--location", default="US", help="location of the dataset (default US)")
    parser.add_argument("--first-day", type=types.day, default=date(2025, 7, 1), metavar="DAY", help="the warehouse's first day (default 2025-07-01)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--days", type=int, default=30, metavar="N", help="how many days from the first (default 30)")
    which.add_argument("--only-day", type=types.day, metavar="DAY", help="deliver this day's batch alone, the same as in a run of all days from --first-day")
    parser.add_argument("--people", type=int, default=300, metavar="N", help="how many people there are, 10 to 5000 (default 300)")
    parser.add_argument("--seed", default="headless", help="another seed gives other rows (default headless)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write newline-delimited JSON into this folder instead of BigQuery")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="also write the true person of each identifier in the days delivered")
    options = parser.parse_args(arguments)
    if options.days < 1:
        parser.error("--days must be 1 or more")
    if not 10 <= options.people <= 5000:
        parser.error("--people must be 10 to 5000")
    if options.only_day and options.only_day < options.first_day:
        parser.error(f"the day {options.only_day} lies before the first day {options.first_day}")
    return options


def main(arguments: list[str]) -> int:
    """Make and deliver the days; 0 when all are in place, 1 when BigQuery did not take them."""
    options = _parse(arguments)
    last_day = options.only_day or options.first_day + timedelta(days=options.days - 1)
    world = make_world(options.seed, options.people, options.first_day)
    # A day's rows follow from the days before it, so these are made even when one day is asked for.
    batches = {}
    for day, batch in make_days(world, options.first_day):
        if day >= (options.only_day or options.first_day):
            batches[day] = batch
        if day == last_day:
            break
    dataset = f"{options.client}_raw"
    try:
        if options.out:
            write_files(options.out, batches)
        else:
            load(options.project, options.location, dataset, TABLES, "synced_at", batches)
    except (GoogleAPIError, GoogleAuthError, RequestException) as error:
        print(f"The rows could not be delivered: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    if options.truth:
        options.truth.parent.mkdir(parents=True, exist_ok=True)
        options.truth.write_text(json.dumps(make_truth(world, batches), indent=1) + "\n")
    print(f"{len(batches)} days, {min(batches)} to {last_day}, in {options.out or f'{options.project}.{dataset}'}:")
    for table in TABLES:
        print(f"  {table}: {sum(len(batch[table]) for batch in batches.values())} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
