"""A chunk of days as CSV: its files, its record, and the id state that it hands on."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from pathlib import Path

from .days import Day, Shop, days_between
from .folders import need_room, only_one, whole, write_whole
from .id_state import IdState, read_id_state
from .lookups import read_lookups
from .refusal import Refusal
from .settings import Settings, fingerprint
from .tables import TRANSACTIONS

RECORD = "_CHUNK.json"
_CSV_BYTES_PER_CART = 150
_CSV_BYTES_PER_ITEM = 50
"""With what follows from a cart and from an item that it may have at most, so with room to spare."""


@dataclass(frozen=True)
class Chunk:
    """Days that are made together, first and last included."""

    first: date
    last: date

    @property
    def key(self) -> str:
        """The chunk's name, as dayfill names partitions."""
        return f"{self.first}..{self.last}"

    @property
    def days(self) -> list[date]:
        """All days, in order."""
        return days_between(self.first, self.last)

    def folder(self, settings: Settings) -> Path:
        """Where the chunk's CSV files lie."""
        return settings.artifact_root / self.key


def checked_chunk(first: date, last: date, settings: Settings) -> Chunk:
    """Return the chunk. Raises Refusal when it is no range within start_date and end_date."""
    if last < first:
        raise Refusal(f"The last day {last} lies before the first day {first}.")
    if first < settings.start_date or last > settings.end_date:
        raise Refusal(f"{first} to {last} is not within {settings.start_date} to {settings.end_date} (start_date, end_date).")
    return Chunk(first, last)


def generate(settings: Settings, chunk: Chunk, id_state: str, threads: int) -> tuple[dict[str, int], IdState]:
    """Write the chunk's CSV files, in place of what it had before, and return what was counted and the state for the next chunk."""
    lookups = read_lookups(settings)
    rows_settings = settings.rows_fingerprint(lookups.sha256)
    state = read_id_state(id_state, chunk.first, settings.start_date, rows_settings)
    volumes = settings.volumes
    carts = int(volumes.carts_per_day * settings.scale * len(chunk.days))
    needed = carts * (_CSV_BYTES_PER_CART + volumes.max_items_per_cart * _CSV_BYTES_PER_ITEM)
    with only_one(settings.artifact_root):
        need_room(settings.artifact_root, needed, settings.min_free_disk, f"Chunk {chunk.key}")
        plan = _Plan(Shop(settings, lookups), chunk, state)
        with whole(chunk.folder(settings)) as folder:
            rows, mess = _write_days(plan, folder, threads)
            counts = {f"{table}_rows": rows[table] for table in rows}
            for table, kinds in mess.items():
                counts |= {f"{table}_{kind}": kinds[kind] for kind in sorted(kinds)}
            write_whole(folder / RECORD, json.dumps(_record(chunk, state, plan.state_after, counts), indent=1) + "\n")
    return counts, plan.state_after


def read_record(settings: Settings, chunk: Chunk) -> dict:
    """Return what `generate` noted about the chunk. Raises Refusal when the chunk has no CSV files."""
    file = chunk.folder(settings) / RECORD
    if not file.is_file():
        raise Refusal(f"There are no CSV files of {chunk.key} in {settings.artifact_root}; generate the chunk first.")
    return json.loads(file.read_text(encoding="utf-8"))


def _record(chunk: Chunk, state: IdState, after: IdState, counts: dict[str, int]) -> dict:
    said = {"chunk": chunk.key, "first": str(chunk.first), "last": str(chunk.last), "id_state": state.model_dump(mode="json")}
    return {**said, "id_state_after": after.model_dump(mode="json"), "source_run": fingerprint(said), "counts": counts}


class _Plan:
    """Which ids each day of a chunk gets, known before any row is made, so that days can be made in any order."""

    def __init__(self, shop: Shop, chunk: Chunk, state: IdState) -> None:
        window = timedelta(days=shop.settings.volumes.return_window)
        since = max(state.settings_since, chunk.first - window)
        self.days = {day: Day(shop, day) for day in days_between(since, chunk.last)}
        self.chunk = chunk
        self._window = window
        before = [len(made.order_places) for day, made in self.days.items() if day < chunk.first]
        orders = [len(made.order_places) for made in self.days.values()]
        self.first_order_ids = dict(zip(self.days, accumulate(orders, initial=state.last_order_id - sum(before) + 1)))
        self.first_cart_ids = dict(zip(chunk.days, accumulate((self.days[day].carts for day in chunk.days), initial=state.last_cart_id + 1)))
        returns = [sum(len(made.returned_on(day)) for made, _ in self.sources(day)) for day in chunk.days]
        self.first_return_ids = dict(zip(chunk.days, accumulate(returns, initial=state.last_return_id + 1)))
        self.state_after = IdState(
            last_cart_id=state.last_cart_id + sum(self.days[day].carts for day in chunk.days),
            last_order_id=state.last_order_id + sum(orders) - sum(before),
            last_return_id=state.last_return_id + sum(returns),
            through=chunk.last,
            settings=state.settings,
            settings_since=state.settings_since,
        )

    def sources(self, day: date) -> list[tuple[Day, int]]:
        """Return the days whose orders may come back on this day, with their first order ids."""
        return [(made, self.first_order_ids[bought]) for bought, made in self.days.items() if day - self._window <= bought < day]


def _write_days(plan: _Plan, folder: Path, threads: int) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """Write all days table by table; return the rows and the mess of each table."""
    rows: Counter[str] = Counter()
    mess: dict[str, Counter[str]] = {table.name: Counter() for table in TRANSACTIONS}
    with ExitStack() as stack:
        files = {table.name: stack.enter_context(open(folder / f"{table.name}.csv", "wb")) for table in TRANSACTIONS}
        for table in TRANSACTIONS:
            files[table.name].write(",".join(column.name for column in table.columns).encode() + b"\n")
        for made, counted in _made(plan, threads):
            for table, lines in made.items():
                files[table].write(lines)
                rows[table] += bytes(lines).count(b"\n")
                mess[table] += counted[table]
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    return rows, mess


def _made(plan: _Plan, threads: int) -> Iterator[tuple[dict[str, memoryview], dict[str, Counter[str]]]]:
    """Make the days side by side and yield them in order, never more than `threads` ahead of what was taken."""

    def make(day: date) -> tuple[dict[str, memoryview], dict[str, Counter[str]]]:
        counted: dict[str, Counter[str]] = {table.name: Counter() for table in TRANSACTIONS}
        made = plan.days[day].rows(plan.first_cart_ids[day], plan.first_order_ids[day], counted)
        return made | plan.days[day].return_rows(plan.first_return_ids[day], plan.sources(day), counted), counted

    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(make, day) for day in plan.chunk.days[:threads]]
        for day in plan.chunk.days[threads:]:
            yield waiting.pop(0).result()
            waiting.append(pool.submit(make, day))
        for future in waiting:
            yield future.result()
