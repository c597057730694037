"""Dagster's own SQLite files, written without waiting for the disk at each event of a run.

Dagster opens and closes them for each event; whoever closes last empties the write-ahead log into the file, and waits for the
disk to have it, several times in a second of work. Here they are held open until the run is over, and then everything is on the disk.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_watched: list[Path] = []
"""Folder of the instance; empty while nothing runs."""
_held: dict[str, sqlite3.Connection] = {}
_listening = False


@contextlib.contextmanager
def held_open(home: str) -> Iterator[None]:
    """Hold what Dagster opens below its home; other storages are left alone."""
    _listen()
    _watched.append(Path(home).resolve())
    try:
        yield
    finally:
        _watched.clear()
        while _held:
            _held.popitem()[1].close()


def _listen() -> None:
    global _listening
    if _listening:
        return
    _listening = True
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "connect", _connected)


def _connected(connection: Any, _record: Any) -> None:
    if not _watched or not isinstance(connection, sqlite3.Connection):
        return
    [(_, _, file), *_] = connection.execute("pragma database_list").fetchall()
    if not file or not Path(file).resolve().is_relative_to(_watched[-1]):
        return
    # As Dagster has it, but from the first table on. In this mode a crash of the machine can only take the latest events along.
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    if file not in _held:
        held = sqlite3.connect(file, check_same_thread=False)
        held.execute("select count(*) from sqlite_master").fetchall()
        _held[file] = held
