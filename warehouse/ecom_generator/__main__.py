"""Command line: lookups once, then for each chunk generate, export and clean; verify at any time."""

import argparse
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from .chunk import checked_chunk, generate
from .clean import clean
from .export import export
from .folders import write_whole
from .lookups import make_lookups
from .refusal import Refusal
from .result import write_result
from .settings import DEFAULT_CONFIG, Settings, load_settings
from .verify import verify

_SHOWN = 50
"""So many problems are shown to people."""

_EXAMPLES = """examples, one after the other:
  python -m ecom_generator lookups
  python -m ecom_generator generate --from 2020-01-01 --to 2020-01-30
  python -m ecom_generator export --from 2020-01-01 --to 2020-01-30
  python -m ecom_generator verify --root output/raw
  python -m ecom_generator clean --from 2020-01-01 --to 2020-01-30

README.md of this package describes the settings, the files and the JSON documents."""


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day; write it as 2020-01-01") from None


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} sets nothing; write it as volumes.carts_per_day=1000")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"{value!r} is no YAML value") from None


def _threads(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 64")
    return int(text)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m ecom_generator",
        description="The raw zone of an online shop, chunk by chunk: CSV files, then Parquet by day with manifests. The same chunk from the same id state gives the same bytes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")

    def configured(of: argparse.ArgumentParser) -> None:
        of.add_argument("--config", default=DEFAULT_CONFIG, metavar="FILE", help=f"YAML configuration (default {DEFAULT_CONFIG} of this package)")
        of.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", help="override one setting, such as volumes.carts_per_day=1000; any number of times")
        for flag, said in (
            ("--start-date", "first day of the first chunk"),
            ("--end-date", "last day of the last chunk"),
            ("--messiness-level", "none, light, medium_mess or heavy_mess"),
            ("--scale", "factor on the volume, such as 0.01"),
            ("--artifact-root", "folder of the CSV files"),
            ("--target-root", "folder of the Parquet files"),
        ):
            of.add_argument(flag, metavar=flag.rpartition("-")[2].upper(), help=f"{said} (default: as configured)")
        threaded(of)

    def threaded(of: argparse.ArgumentParser) -> None:
        of.add_argument("--threads", type=_threads, default=len(os.sched_getaffinity(0)), metavar="N", help="how many threads work; changes no byte (default: one per core)")

    def chunked(of: argparse.ArgumentParser) -> None:
        of.add_argument("--from", dest="first", type=_day, required=True, metavar="DAY", help="first day of the chunk")
        of.add_argument("--to", dest="last", type=_day, required=True, metavar="DAY", help="last day of the chunk, included")

    lookups = command("lookups", "make the customers and products, unless they are there")
    configured(lookups)
    generating = command("generate", "make a chunk's carts, orders and returns as CSV files")
    chunked(generating)
    configured(generating)
    generating.add_argument("--id-state", default="", metavar="JSON", help="the id_state that the chunk before handed on; empty for the first chunk")
    generating.add_argument("--id-state-file", default="", metavar="FILE", help="also write the new id state here, for people: it is never read")
    exporting = command("export", "write a chunk's CSV files as Parquet by day, with manifests and rejects")
    chunked(exporting)
    configured(exporting)
    cleaning = command("clean", "remove a chunk's local files, once its upload has been verified")
    chunked(cleaning)
    configured(cleaning)
    cleaning.add_argument("--keep-local", choices=("true", "false"), help="whether the files stay (default: as configured)")
    cleaning.add_argument("--checkpoint-file", default="", metavar="FILE", help="write the chunk's last day here, for people: it is never read")
    verifying = command("verify", "check a raw zone: partitions, manifests against files, parents, ids, size")
    verifying.add_argument("--root", type=Path, required=True, metavar="DIR", help="a folder laid out like the bucket, from the table folders on")
    verifying.add_argument("--from", dest="first", type=_day, metavar="DAY", help="first day that should be there (default: of the first chunk)")
    verifying.add_argument("--to", dest="last", type=_day, metavar="DAY", help="last day that should be there (default: of the last chunk)")
    verifying.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    threaded(verifying)
    return parser.parse_args(arguments)


def _settings(options: argparse.Namespace) -> Settings:
    flags = ("start_date", "end_date", "messiness_level", "scale", "artifact_root", "target_root", "keep_local")
    given = {name: value for name in flags if (value := getattr(options, name, None))}
    return load_settings(options.config, dict(options.set) | given)


def _lookups(options: argparse.Namespace) -> None:
    counts = make_lookups(_settings(options))
    write_result(counts)
    print(f"{counts['customers']} customers and {counts['product_catalog']} products, {'made' if counts['made'] else 'as they were'}.")


def _generate(options: argparse.Namespace) -> None:
    settings = _settings(options)
    chunk = checked_chunk(options.first, options.last, settings)
    counts, state = generate(settings, chunk, options.id_state, options.threads)
    if options.id_state_file:
        write_whole(Path(options.id_state_file), state.model_dump_json(indent=1) + "\n")
    write_result(counts, {"id_state": state.model_dump(mode="json")})
    print(f"{chunk.key}: {sum(rows for name, rows in counts.items() if name.endswith('_rows'))} rows as CSV in {chunk.folder(settings)}")
    for name, count in counts.items():
        print(f"  {name}: {count}")


def _export(options: argparse.Namespace) -> None:
    settings = _settings(options)
    chunk = checked_chunk(options.first, options.last, settings)
    counts = export(settings, chunk, options.threads)
    write_result(counts)
    print(f"{chunk.key}: {counts['partitions']} partitions, {counts['bytes']} bytes of Parquet in {settings.target_root}")
    for name, count in counts.items():
        print(f"  {name}: {count}")


def _clean(options: argparse.Namespace) -> None:
    settings = _settings(options)
    chunk = checked_chunk(options.first, options.last, settings)
    counts = clean(settings, chunk, Path(options.checkpoint_file) if options.checkpoint_file else None)
    write_result(counts)
    print(f"{chunk.key}: {'kept' if settings.keep_local else 'removed {csv_files} CSV files and {partitions} partitions'.format(**counts)}")


def _verify(options: argparse.Namespace) -> int:
    report = verify(options.root, options.first, options.last, options.threads)
    if options.json:
        print(json.dumps(report))
        return 0 if report["ok"] else 1
    print(f"{report['root']}: {report['first']} to {report['last']}, {report['chunks']} chunks, {report['objects']} objects, {report['footprintBytes']:,} bytes")
    print(f"  {'table':<16}{'partitions':>12}{'expected':>12}{'rows':>16}{'bytes':>18}")
    for said in report["tables"]:
        expected = "-" if said["expectedPartitions"] is None else said["expectedPartitions"]
        print(f"  {said['table']:<16}{said['partitions']:>12}{expected:>12}{said['rows']:>16,}{said['bytes']:>18,}")
    for check in report["checks"]:
        print(f"  {check['check']:<16}{'ok' if check['problems'] == 0 else check['problems']:>12}")
    for problem in report["problems"][:_SHOWN]:
        where = "/".join(part for part in (problem["partition"], problem["file"]) if part)
        print(f"  {problem['check']}: {where}{': ' if where else ''}{problem['message']}")
    if (more := len(report["problems"]) - _SHOWN) > 0:
        print(f"  and {more} more, with --json")
    if report["chunksToRunAgain"]:
        print(f"To heal it, run again: {', '.join(report['chunksToRunAgain'])}")
    return 0 if report["ok"] else 1


def main(arguments: list[str]) -> int:
    """Run one command; 0 when it did what it says and found no problem, 1 otherwise, 2 for a wrong command line."""
    options = _parse(arguments)
    try:
        return {"lookups": _lookups, "generate": _generate, "export": _export, "clean": _clean, "verify": _verify}[options.command](options) or 0
    except BrokenPipeError:
        return 1  # nobody reads on
    except (Refusal, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
