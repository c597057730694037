"""The static lookups: customers and products, made once and read by every chunk."""

import csv
import hashlib
import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from sample_files.customers import DOMAINS, FIRST_NAMES, LAST_NAMES

from .draws import below, happens, stream
from .folders import need_room, only_one, whole, write_whole
from .refusal import Refusal
from .settings import Settings
from .tables import CATEGORIES, CUSTOMERS, DIMENSIONS, PRODUCT_CATALOG

FOLDER = "static_lookups"
_RECORD = "_LOOKUPS.json"
_BYTES_PER_ROW = 150

_SIGNUP_CHANNELS = ("website", "phone", "email", "social_media")
_TIERS = ("", "Bronze", "Silver", "Gold", "Platinum")
_STREETS = ("Birch", "Chapel", "Harbor", "Juniper", "Maple", "Orchard", "Quarry", "Station")
_TOWNS = ("Ashford", "Brookfield", "Clayton", "Dunmore", "Easton", "Fairview", "Grafton", "Hollis")
_NOUNS = {
    "Books": ("Novel", "Atlas", "Cookbook", "Memoir"),
    "Clothing": ("Jacket", "Scarf", "Sweater", "Trousers"),
    "Electronics": ("Headphones", "Keyboard", "Radio", "Torch"),
    "Home": ("Carpet", "Kettle", "Lamp", "Mirror"),
    "Toys": ("Kite", "Marbles", "Puzzle", "Train"),
}
_ADJECTIVES = ("Bright", "Classic", "Compact", "Plain", "Sturdy", "Travel")


@dataclass(frozen=True)
class Lookups:
    """What a chunk needs of them.

    `signups` are the ids' sign-up days, ascending, as int64 days since 1970; `prices` int64 cents by product id - 1;
    `rows` the number of rows and `sha256` the checksums of the files, by table.
    """

    folder: Path
    rows: dict[str, int]
    signups: np.ndarray
    prices: np.ndarray
    sha256: dict[str, str]

    def customers_by(self, day: date) -> int:
        """Return how many have signed up by the end of the day: their ids are 1 to this."""
        return int(np.searchsorted(self.signups, np.datetime64(day, "D").astype(np.int64), side="right"))


def make_lookups(settings: Settings) -> dict[str, int]:
    """Write `static_lookups` unless it is there; return the rows and, by `made`, whether there was something to do.

    Raises Refusal when those that are there came from other settings.
    """
    folder = settings.artifact_root / FOLDER
    with only_one(settings.artifact_root):
        if (folder / _RECORD).is_file():
            return {**_record(settings)["rows"], "made": 0}
        said = settings.lookups
        rows = {CUSTOMERS.name: said.num_customers, PRODUCT_CATALOG.name: said.num_products}
        need_room(settings.artifact_root, sum(rows.values()) * _BYTES_PER_ROW, settings.min_free_disk, "Making the lookups")
        with whole(folder) as temporary:
            _write(temporary / "customers.csv", CUSTOMERS.columns, _customers(settings))
            _write(temporary / "product_catalog.csv", PRODUCT_CATALOG.columns, _products(settings))
            sha256 = {table.name: _sha256(temporary / f"{table.name}.csv") for table in DIMENSIONS}
            write_whole(temporary / _RECORD, json.dumps({"settings": settings.lookups_fingerprint(), "rows": rows, "sha256": sha256}, indent=1) + "\n")
        return {**rows, "made": 1}


def read_lookups(settings: Settings) -> Lookups:
    """Read what `make_lookups` wrote. Raises Refusal when it is missing, from other settings, or was changed since."""
    folder = settings.artifact_root / FOLDER
    if not (folder / _RECORD).is_file():
        raise Refusal(f"There are no lookups in {folder}; make them first: python -m ecom_generator lookups.")
    record = _record(settings)
    sha256 = record["sha256"]
    for table, expected in sha256.items():
        if not (folder / f"{table}.csv").is_file() or _sha256(folder / f"{table}.csv") != expected:
            raise Refusal(f"{folder}/{table}.csv is not as it was made; remove {folder} and make the lookups again.")
    signups = _column(folder / "customers.csv", "signup_date", pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)
    prices = _column(folder / "product_catalog.csv", "unit_price", pa.float64()).to_numpy()
    return Lookups(folder, record["rows"], signups, np.rint(prices * 100).astype(np.int64), sha256)


def _column(file: Path, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    options = pa_csv.ConvertOptions(include_columns=[name], column_types={name: kind})
    return pa_csv.read_csv(file, convert_options=options)[name]


def _record(settings: Settings) -> dict:
    folder = settings.artifact_root / FOLDER
    record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    if record["settings"] != settings.lookups_fingerprint():
        raise Refusal(f"The lookups in {folder} were made with another seed or other `lookups` settings; keep to those, or remove the folder and begin again.")
    return record


def _write(file: Path, columns: tuple, rows: list[tuple]) -> None:
    with open(file, "w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(column.name for column in columns)
        writer.writerows(rows)


def _sha256(file: Path) -> str:
    with open(file, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _customers(settings: Settings) -> list[tuple]:
    """Ids ascend with the sign-up days, over which they are spread evenly: with enough customers no day is without."""
    said = settings.lookups
    places = np.arange(said.num_customers, dtype=np.uint64)

    def pick(name: str, limit: int) -> list[int]:
        return below(stream(settings.seed, CUSTOMERS.name, name), places, limit).tolist()

    days = (said.signup_end - said.signup_start).days + 1
    calendar = [(said.signup_start + timedelta(days=number)).isoformat() for number in range(days)]
    opted_in = happens(stream(settings.seed, CUSTOMERS.name, "opted in"), places, 40).tolist()
    drawn = zip(
        pick("first name", len(FIRST_NAMES)),
        pick("last name", len(LAST_NAMES)),
        pick("domain", len(DOMAINS)),
        pick("channel", len(_SIGNUP_CHANNELS)),
        pick("tier", len(_TIERS)),
        pick("house", 400),
        pick("street", len(_STREETS)),
        pick("town", len(_TOWNS)),
        opted_in,
        strict=True,
    )
    return [
        (
            number + 1,
            FIRST_NAMES[first],
            LAST_NAMES[last],
            f"{FIRST_NAMES[first]}.{LAST_NAMES[last]}{number + 1}@{DOMAINS[domain]}".lower(),
            calendar[number * days // said.num_customers],
            _SIGNUP_CHANNELS[channel],
            _TIERS[tier],
            "true" if opted else "false",
            f"{house + 1} {_STREETS[street]} Street, {_TOWNS[town]}",
        )
        for number, (first, last, domain, channel, tier, house, street, town, opted) in enumerate(drawn)
    ]


def _products(settings: Settings) -> list[tuple]:
    places = np.arange(settings.lookups.num_products, dtype=np.uint64)

    def pick(name: str, limit: int) -> list[int]:
        return below(stream(settings.seed, PRODUCT_CATALOG.name, name), places, limit).tolist()

    rows = []
    drawn = zip(pick("adjective", len(_ADJECTIVES)), pick("noun", 4), pick("price", 24_501), pick("margin", 31), pick("inventory", 151), strict=True)
    for number, (adjective, noun, price, margin, inventory) in enumerate(drawn):
        category = CATEGORIES[number % len(CATEGORIES)]
        cents = 500 + price
        name = f"{_ADJECTIVES[adjective]} {_NOUNS[category][noun]} {number + 1}"
        rows.append((number + 1, name, category, _amount(cents), _amount(cents * (40 + margin) // 100), 100 + inventory))
    return rows


def _amount(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
