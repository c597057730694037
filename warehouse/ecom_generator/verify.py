"""Whether a raw zone is whole: partitions, manifests against files, parents, ids, size. Reads a folder laid out like the bucket."""

import json
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from .days import days_between
from .manifest import NAME, Manifest, content_sha256, file_checksums, file_schema, schema_hash
from .refusal import Refusal
from .tables import DIMENSIONS, ID_COUNTERS, REJECTS, TABLES, TRANSACTIONS

CHECKS = ("chunks", "partitions", "manifests", "files", "contents", "rows", "ids", "parents", "references")

_FIELDS = ("table", "partition", "chunk", "rows", "bytes", "min_key", "max_key", "schema", "schema_hash", "files", "source_run", "generator_version", "created")


_READ = "read_parquet(${}, filename = true, hive_partitioning = true, hive_types_autocast = false)"


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be. Running `chunk` again heals it; null where no chunk can be told."""

    check: str
    message: str
    partition: str | None = None
    file: str | None = None
    chunk: str | None = None


@dataclass
class Partition:
    """A folder of the raw zone; `manifest` is None when it has none that can be read, `sound` whether its file is what the manifest says."""

    name: str
    folder: Path
    manifest: Manifest | None = None
    sound: bool = False

    @property
    def table(self) -> str:
        """What stands before the / of its name."""
        return self.name.partition("/")[0]

    @property
    def value(self) -> str:
        """What stands behind the = of its name."""
        return self.name.partition("=")[2]

    @property
    def files(self) -> list[str]:
        """Paths of the files that its manifest lists."""
        return [str(self.folder / file["name"]) for file in self.manifest["files"]] if self.manifest else []


@dataclass
class _Zone:
    root: Path
    partitions: dict[str, Partition]
    problems: list[Problem] = field(default_factory=list)

    def of(self, table: str) -> list[Partition]:
        """The partitions of a table."""
        return [partition for partition in self.partitions.values() if partition.table == table]

    def chunk_of(self, day: str) -> str | None:
        """The chunk that covers a day, by the accounts that were found."""
        return next((account["chunk"] for account in self.accounts() if account["first"] <= day <= account["last"]), None)

    def accounts(self) -> list[dict[str, Any]]:
        """The accounts of all chunks, oldest first."""
        found = [{**each.manifest["account"], "chunk": each.manifest["chunk"]} for each in self.of(REJECTS) if each.manifest]
        return sorted(found, key=lambda account: (account["first"], account["last"]))

    def report(self, check: str, message: str, partition: Partition | None = None, file: str | None = None, chunk: str | None = None) -> None:
        """Note a problem, with the chunk of its partition where none is given."""
        if partition is not None and chunk is None:
            chunk = partition.manifest["chunk"] if partition.manifest else self._home(partition)
        self.problems.append(Problem(check, message, partition.name if partition else None, file, chunk))

    def _home(self, partition: Partition) -> str | None:
        """The chunk of a partition that cannot say so itself."""
        if partition.table == REJECTS:
            return partition.value
        if partition.table in {table.name for table in DIMENSIONS}:
            return next((account["chunk"] for account in self.accounts()), None)
        return self.chunk_of(partition.value)


def verify(root: Path, first: date | None, last: date | None, threads: int) -> dict[str, Any]:
    """Check the raw zone in `root` and return the report that README.md describes.

    It should hold the days `first` to `last`; without them, those from its first chunk to its last. Raises Refusal when there is no such folder.
    """
    if not root.is_dir():
        raise Refusal(f"There is no folder {root}; --root names one that is laid out like the bucket, such as output/raw.")
    zone = _Zone(root, {each.name: each for each in _partitions(root)})
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(_read_manifest, zone.partitions.values()):
            zone.problems += found
        for found in pool.map(_check_files, zone.partitions.values()):
            zone.problems += found
    days = _check_chunks(zone, first, last)
    # A manifest that was missing is at home in a chunk that is known by now.
    zone.problems = [_at_home(zone, problem) for problem in zone.problems]
    _check_partitions(zone, days)
    _check_rows(zone)
    _check_ids(zone)
    with duckdb.connect(config={"threads": threads}) as database:
        _check_contents(zone, database)
        _check_parents(zone, database)
    return _report(zone, days)


def _partitions(root: Path) -> Iterator[Partition]:
    for table in (*TABLES, REJECTS):
        if (root / table).is_dir():
            for folder in sorted((root / table).iterdir()):
                if folder.is_dir() and not folder.name.startswith("."):
                    yield Partition(f"{table}/{folder.name}", folder)


def _read_manifest(partition: Partition) -> list[Problem]:
    """Read the partition's manifest and check it by itself."""

    def problem(message: str) -> list[Problem]:
        return [Problem("manifests", message, partition.name, NAME)]

    try:
        said = json.loads((partition.folder / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return problem("there is no manifest")
    except (ValueError, OSError):
        return problem("the manifest cannot be read")
    if not isinstance(said, dict) or any(name not in said for name in _FIELDS) or (partition.table == REJECTS and "account" not in said):
        return problem("the manifest lacks what it should say")
    if said.get("content_sha256") != content_sha256(said):
        return problem("the manifest was changed: it is not as its content_sha256 says")
    if said["partition"] != partition.name:
        return problem(f"the manifest belongs to {said['partition']}")
    partition.manifest = said
    return []


def _check_files(partition: Partition) -> list[Problem]:
    """Compare the files with the manifest: there, as long, as checked, as typed, nothing besides."""
    if partition.manifest is None:
        return []
    said, problems = partition.manifest, []

    def problem(message: str, file: str) -> None:
        problems.append(Problem("files", message, partition.name, file, said["chunk"]))

    for file in said["files"]:
        path = partition.folder / file["name"]
        if not path.is_file():
            problem("the file is missing", file["name"])
        elif (size := path.stat().st_size) != file["bytes"]:
            problem(f"the file has {size} bytes instead of {file['bytes']}", file["name"])
        elif wrong := [name for name, checksum in file_checksums(path).items() if file.get(name) != checksum]:
            problem(f"the file's {' and '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not what the manifest says", file["name"])
        else:
            schema = _schema(path)
            if schema != said["schema"] or schema_hash(said["schema"]) != said["schema_hash"]:
                problem("the columns are not what the manifest says", file["name"])
    listed = {NAME, *(file["name"] for file in said["files"])}
    for path in partition.folder.iterdir():
        if path.name not in listed:
            problem("no manifest knows this file", path.name)
    partition.sound = not problems
    return problems


def _schema(path: Path) -> list[dict[str, str]] | None:
    try:
        return file_schema(path)
    except (pa.ArrowException, OSError):
        return None


def _at_home(zone: _Zone, problem: Problem) -> Problem:
    if problem.chunk is not None or problem.partition is None:
        return problem
    return Problem(problem.check, problem.message, problem.partition, problem.file, zone._home(zone.partitions[problem.partition]))


def _check_chunks(zone: _Zone, first: date | None, last: date | None) -> list[str]:
    """Check that the chunks follow one another in days and ids; return the days that should be there."""
    accounts = zone.accounts()
    known = {account["chunk"] for account in accounts}
    for chunk in sorted({each.manifest["chunk"] for each in zone.partitions.values() if each.manifest} - known):
        zone.report("chunks", f"{chunk} has partitions, but no {REJECTS} with its account", chunk=chunk)
    if not accounts and (first is None or last is None):
        zone.report("chunks", "there is no chunk")
        return []
    begin = str(first) if first else accounts[0]["first"]
    end = str(last) if last else max(account["last"] for account in accounts)
    expected = begin
    before: dict[str, Any] | None = None
    for account in accounts:
        if account["first"] > expected:
            zone.report("chunks", f"{expected} to {_day_before(account['first'])} are in no chunk")
        elif account["first"] < expected and before is not None:
            zone.report("chunks", f"{account['chunk']} overlaps with {before['chunk']}", chunk=account["chunk"])
        elif before is not None and _ids(account["id_state"]) != _ids(before["id_state_after"]):
            zone.report("ids", f"{account['chunk']} does not begin with the ids that {before['chunk']} ended with", chunk=account["chunk"])
        expected, before = max(expected, _day_after(account["last"])), account
    if expected <= end:
        zone.report("chunks", f"{expected} to {end} are in no chunk")
    return [str(day) for day in days_between(date.fromisoformat(begin), date.fromisoformat(end))]


def _ids(state: dict[str, Any]) -> dict[str, int]:
    return {name: state[name] for name in ID_COUNTERS.values()}


def _day_after(day: str) -> str:
    return str(date.fromisoformat(day) + timedelta(days=1))


def _day_before(day: str) -> str:
    return str(date.fromisoformat(day) - timedelta(days=1))


def _check_partitions(zone: _Zone, days: list[str]) -> None:
    """Check that each table has its partitions: one a day, and as many as the lookups had."""
    for table in TRANSACTIONS:
        there = {partition.value for partition in zone.of(table.name)}
        for day in days:
            if day not in there:
                zone.report("partitions", "the partition is missing", Partition(f"{table.name}/{table.partition}={day}", zone.root))
        for day in sorted(there - set(days)):
            zone.report("partitions", "the partition is of no day that should be there", zone.partitions[f"{table.name}/{table.partition}={day}"])
    dimensions = _dimensions(zone)
    for table in DIMENSIONS:
        expected = dimensions.get(table.name, {}).get("partitions")
        found = len(zone.of(table.name))
        if expected is None:
            zone.report("partitions", f"no chunk brought {table.name}")
        elif found != expected:
            chunk = zone.accounts()[0]["chunk"]
            zone.report("partitions", f"{table.name} has {found} partitions instead of {expected}", chunk=chunk)


def _dimensions(zone: _Zone) -> dict[str, dict[str, int]]:
    return next((account["dimensions"] for account in zone.accounts() if account["dimensions"]), {})


def _check_rows(zone: _Zone) -> None:
    """Check that rows in = rows out + rejects, and that as many rows are in the partitions as came out."""
    held: dict[tuple[str, str], int] = defaultdict(int)
    for partition in zone.partitions.values():
        if partition.manifest:
            held[partition.manifest["chunk"], partition.table] += partition.manifest["rows"]
    for account in zone.accounts():
        chunk = account["chunk"]
        for table, said in account["tables"].items():
            if said["rows_in"] != said["rows_out"] + said["rejects"]:
                zone.report("rows", f"{table}: {said['rows_in']} rows in, but {said['rows_out']} out and {said['rejects']} rejected", chunk=chunk)
            if held[chunk, table] != said["rows_out"]:
                zone.report("rows", f"{table}: the manifests have {held[chunk, table]} rows of {said['rows_out']}", chunk=chunk)
        rejects = sum(said["rejects"] for said in account["tables"].values())
        if held[chunk, REJECTS] != rejects:
            zone.report("rows", f"{REJECTS}: {held[chunk, REJECTS]} rows of {rejects}", chunk=chunk)
        for table, said in (account["dimensions"] or {}).items():
            if held[chunk, table] != said["rows"]:
                zone.report("rows", f"{table}: the manifests have {held[chunk, table]} rows of {said['rows']}", chunk=chunk)


def _check_ids(zone: _Zone) -> None:
    """Check that each chunk used the ids that it was given, all of them: those that are not in its partitions are among its rejects."""
    for account in zone.accounts():
        for table, counter in ID_COUNTERS.items():
            before, after = account["id_state"][counter], account["id_state_after"][counter]
            said = account["tables"][table]
            used = said["rows_out"] + said["rejects"] - said["reasons"]["duplicate"]
            if used != after - before:
                zone.report("ids", f"{table}: {used} ids were used of the {after - before} from {before + 1} to {after}", chunk=account["chunk"])
    for table in ID_COUNTERS:
        reached, previous = 0, None
        for partition in sorted((each for each in zone.of(table) if each.manifest and each.manifest["rows"]), key=lambda each: each.manifest["min_key"]):
            if partition.manifest["min_key"] <= reached:
                zone.report("ids", f"its ids, from {partition.manifest['min_key']} on, overlap with those of {previous}, up to {reached}", partition)
            if (account := _account_of(zone, partition)) is not None:
                before, after = (account[state][ID_COUNTERS[table]] for state in ("id_state", "id_state_after"))
                if not before < partition.manifest["min_key"] <= partition.manifest["max_key"] <= after:
                    zone.report("ids", f"its ids are not within {before + 1} to {after}, those of its chunk", partition)
            reached, previous = max(reached, partition.manifest["max_key"]), partition.name


def _account_of(zone: _Zone, partition: Partition) -> dict[str, Any] | None:
    return next((account for account in zone.accounts() if account["chunk"] == partition.manifest["chunk"]), None)


def _check_contents(zone: _Zone, database: duckdb.DuckDBPyConnection) -> None:
    """Read the sound files: their rows, key bounds and whether a key stands twice are as the manifests say."""
    for table in TABLES.values():
        sound = [partition for partition in zone.of(table.name) if partition.sound]
        for some in _groups(sound):
            by_file = {file: partition for partition in some for file in partition.files}
            key = ", ".join(table.key)
            query = f"select filename, count(*), min({table.key[0]}), max({table.key[0]}), count(distinct ({key})) from read_parquet($files, filename = true, hive_partitioning = false) group by filename"
            found = {name: figures for name, *figures in database.execute(query, {"files": list(by_file)}).fetchall()}
            for file, partition in by_file.items():
                rows, least, greatest, keys = found.get(file, (0, None, None, 0))
                said = partition.manifest
                if (rows, least, greatest) != (said["rows"], said["min_key"], said["max_key"]):
                    zone.report("contents", f"{rows} rows from key {least} to {greatest}; the manifest says {said['rows']} from {said['min_key']} to {said['max_key']}", partition)
                if keys != rows:
                    zone.report("contents", f"{rows - keys} keys stand there twice", partition)


def _check_parents(zone: _Zone, database: duckdb.DuckDBPyConnection) -> None:
    """Check that each child lies with its parent, and that each row that is referred to is there.

    What refers to a partition that is not sound cannot be judged, and is not: that partition has been reported already.
    """
    for table in TRANSACTIONS:
        for some in _groups([partition for partition in zone.of(table.name) if partition.sound]):
            if table.parent is not None:
                beside = {partition.value: zone.partitions.get(f"{table.parent}/{table.partition}={partition.value}") for partition in some}
                judged = [partition for partition in some if (parent := beside[partition.value]) is not None and parent.sound]
                parents = [parent for partition in judged if (parent := beside[partition.value])]
                for partition, count in _absent(database, judged, table.parent_key, parents, f"rows.{table.partition} = others.{table.partition}"):
                    zone.report("parents", f"{count} rows have no parent: their {table.parent_key} is not in {table.parent} on that day", partition)
            for column, other in table.refers:
                others = _named(zone, database, some, column, other)
                if all(partition.sound for partition in others):
                    for partition, count in _absent(database, some, column, others, "true"):
                        zone.report("references", f"{count} rows name a {column} that is not in {other}", partition)


def _named(zone: _Zone, database: duckdb.DuckDBPyConnection, some: list[Partition], column: str, other: str) -> list[Partition]:
    """The partitions of the other table that the rows may name, by the bounds of their keys; all that cannot tell their bounds."""
    files = [file for partition in some for file in partition.files]
    least, greatest = database.execute(f"select min({column}), max({column}) from read_parquet($files, hive_partitioning = false)", {"files": files}).fetchone()
    known = [partition for partition in zone.of(other) if partition.manifest and partition.manifest["rows"]]
    near = [] if least is None else [each for each in known if each.manifest["min_key"] <= greatest and each.manifest["max_key"] >= least]
    return near + [partition for partition in zone.of(other) if partition.manifest is None]


def _absent(database: duckdb.DuckDBPyConnection, some: list[Partition], column: str, others: list[Partition], condition: str) -> list[tuple[Partition, int]]:
    """Return the partitions with rows whose `column` is no key of the others, and how many."""
    by_file = {file: partition for partition in some for file in partition.files}
    if not by_file:
        return []
    files = {"rows": list(by_file)}
    absent = "true"
    if others:
        key = TABLES[others[0].table].key[0]
        files["others"] = [file for partition in others for file in partition.files]
        absent = f"not exists (select 1 from {_READ.format('others')} as others where rows.{column} = others.{key} and {condition})"
    query = f"select filename, count(*) from {_READ.format('rows')} as rows where {absent} group by filename"
    return [(by_file[file], count) for file, count in database.execute(query, files).fetchall()]


def _groups(partitions: list[Partition], size: int = 60) -> Iterator[list[Partition]]:
    """So many partitions at a time, so that the memory does not grow with the zone."""
    for start in range(0, len(partitions), size):
        yield partitions[start : start + size]


def _report(zone: _Zone, days: list[str]) -> dict[str, Any]:
    files = [file for path in (*TABLES, REJECTS) for file in (zone.root / path).rglob("*") if file.is_file()]
    sizes: dict[str, int] = defaultdict(int)
    for file in files:
        sizes[file.relative_to(zone.root).parts[0]] += file.stat().st_size
    dimensions, accounts = _dimensions(zone), zone.accounts()
    expected = {table.name: len(days) for table in TRANSACTIONS} | {name: said["partitions"] for name, said in dimensions.items()} | {REJECTS: len(accounts)}
    tables = []
    for table in (*TABLES, REJECTS):
        partitions = zone.of(table)
        rows = sum(partition.manifest["rows"] for partition in partitions if partition.manifest)
        tables.append({"table": table, "partitions": len(partitions), "expectedPartitions": expected.get(table), "rows": rows, "bytes": sizes[table]})
    return {
        "ok": not zone.problems,
        "root": str(zone.root),
        "first": days[0] if days else None,
        "last": days[-1] if days else None,
        "chunks": len(accounts),
        "tables": tables,
        "checks": [{"check": check, "problems": sum(problem.check == check for problem in zone.problems)} for check in CHECKS],
        "problems": [vars(problem) for problem in zone.problems],
        "chunksToRunAgain": sorted({problem.chunk for problem in zone.problems if problem.chunk}),
        "objects": len(files),
        "footprintBytes": sum(sizes.values()),
    }
