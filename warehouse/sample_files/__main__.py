"""Command line: make the sample files and deliver them to a bucket or a folder."""

import argparse
import sys
from datetime import date, timedelta
from pathlib import Path

from google.api_core.exceptions import GoogleAPIError
from requests.exceptions import RequestException

from .customers import make_customers
from .day_file import compress, make_day_file
from .delivery import Bucket, Folder


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day; write it as 2025-07-16") from None


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sample_files", description="Make one messy gzip CSV of conversions per day; the same seed gives the same bytes.")
    parser.add_argument("--from", dest="first", type=_day, default=date(2025, 7, 16), metavar="DAY", help="first day (default 2025-07-16)")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--to", dest="last", type=_day, metavar="DAY", help="last day, included")
    end.add_argument("--days", type=int, metavar="N", help="how many days from the first (default 30)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write into this folder instead of the bucket")
    parser.add_argument("--bucket", default="talbots-landing", help="bucket to upload to (default talbots-landing)")
    parser.add_argument("--project", default="talbots-og-map-dev", help="project that owns the bucket (default talbots-og-map-dev)")
    parser.add_argument("--prefix", default="conversions", help="folder inside the bucket or DIR (default conversions)")
    parser.add_argument("--seed", default="talbots", help="another seed gives other files (default talbots)")
    parser.add_argument("--unknown-defect", type=_day, action="append", default=[], metavar="DAY", help="three rows in a currency nobody knows, a failing test without a remedy; like the flags below any number of times")
    parser.add_argument("--late", type=_day, action="append", default=[], metavar="DAY", help="leave the day out for now; the same command without the flag delivers it")
    parser.add_argument("--missing", type=_day, action="append", default=[], metavar="DAY", help="the day has no file; one delivered before is removed")
    parser.add_argument("--empty", type=_day, action="append", default=[], metavar="DAY", help="the day's file holds nothing at all")
    options = parser.parse_args(arguments)
    if options.last is None:
        options.last = options.first + timedelta(days=(30 if options.days is None else options.days) - 1)
    if options.last < options.first:
        parser.error(f"the last day {options.last} lies before the first day {options.first}")
    return options


def main(arguments: list[str]) -> int:
    """Make and deliver the files; 0 when all are in place, 1 when the storage did not answer."""
    options = _parse(arguments)
    days = [options.first + timedelta(days=n) for n in range((options.last - options.first).days + 1)]
    customers = make_customers(options.seed)
    try:
        target = Folder(options.out) if options.out else Bucket(options.bucket, options.project)
        changed = 0
        for day in days:
            name = f"{options.prefix}/{day.isoformat()}.csv.gz"
            if day in options.missing:
                changed += target.remove(name)
            elif day not in options.late:
                content = make_day_file(options.seed, day, customers, unknown_defect=day in options.unknown_defect)
                changed += target.put(name, compress("") if day in options.empty else content)
    except (GoogleAPIError, RequestException) as error:
        print(f"The files could not be delivered: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    where = options.out or f"gs://{options.bucket}"
    print(f"{len(days)} days, {days[0]} to {days[-1]}, in {where}/{options.prefix}: {changed} changed, {len(days) - changed} as they were.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
