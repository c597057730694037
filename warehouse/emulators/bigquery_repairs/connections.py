"""Give every thread its own DuckDB connection, and load the spatial extension from its package.

Stock: one connection for all threads, on which one request can fetch the rows of another's query,
and an extension that must be put into the home folder by hand before the first start.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_spatial
from bqemulator.catalog.memory_repository import MemoryCatalogRepository
from bqemulator.domain.errors import InternalError
from bqemulator.storage.engine import DuckDBEngine

_of_thread = threading.local()


def _open(engine: DuckDBEngine) -> duckdb.DuckDBPyConnection:
    """A further connection to the engine's database."""
    return engine._connection.cursor()


def _connection(engine: DuckDBEngine) -> duckdb.DuckDBPyConnection:
    """This thread's connection; the main thread has the engine's own."""
    if engine._connection is None:
        raise InternalError("DuckDBEngine not started")
    if threading.current_thread() is threading.main_thread():
        return engine._connection
    if not hasattr(_of_thread, "connection"):
        _of_thread.connection = _open(engine)
    return _of_thread.connection


@contextmanager
def fresh_connection(engine: DuckDBEngine) -> Iterator[duckdb.DuckDBPyConnection]:
    """Within the block this thread has a connection of its own; temp tables and an open transaction end with it."""
    _of_thread.connection = _open(engine)
    try:
        yield _of_thread.connection
    finally:
        _of_thread.connection.close()
        del _of_thread.connection


@asynccontextmanager
async def _write_lock(engine: DuckDBEngine) -> AsyncIterator[None]:
    """The engine's write lock, for several threads: asyncio's own works within one event loop only."""
    lock: threading.Lock = engine._write_lock
    if not lock.acquire(blocking=False):
        await asyncio.to_thread(lock.acquire)
    try:
        yield
    finally:
        lock.release()


def _load_spatial(engine: DuckDBEngine) -> None:
    extension = (
        Path(duckdb_extension_spatial.__file__).parent
        / "extensions"
        / f"v{duckdb.__version__}"
        / "spatial.duckdb_extension"
    )
    if not extension.exists():
        raise InternalError(f"{extension} is missing: install warehouse/requirements.lock.")
    engine.connection.execute(f"LOAD '{extension}'")


def _apply_settings(engine: DuckDBEngine) -> None:
    """Those of every connection, set once: to change them while another connection plans a statement can crash DuckDB."""
    # In UTC like BigQuery.
    engine._connection.execute("SET GLOBAL TimeZone = 'UTC'")
    # Statistics would answer `max(x)`, or a filter that no row fulfils, without a look at the column: `costs` would miss it.
    engine._connection.execute("SET GLOBAL disabled_optimizers = 'statistics_propagation'")
    # While other threads work, the one that waits for them asks again and again: a small statement takes half as much processor
    # time again. The other half of the cores is for those who send the statements.
    engine._connection.execute(f"SET GLOBAL threads = {max(1, (os.cpu_count() or 1) // 2)}")
    # Statements wait while what is new is moved into the file, a third of a second each time. Stock: after 16 MB, every third day of Talbots.
    engine._connection.execute("SET GLOBAL checkpoint_threshold = '64MB'")


class _SteadyDict(dict):
    """A dictionary that one thread may change while another walks through it."""

    def __iter__(self) -> Iterator[Any]:
        return iter(list(super().keys()))

    def keys(self) -> Any:
        return list(super().keys())

    def values(self) -> Any:
        return list(super().values())

    def items(self) -> Any:
        return list(super().items())


def install() -> None:
    """Replace the engine's connection, lock, settings and extension loading, and the catalog's dictionaries."""
    DuckDBEngine.connection = property(_connection)
    DuckDBEngine.write_lock = _write_lock
    DuckDBEngine._load_spatial = _load_spatial
    DuckDBEngine._apply_session_pragmas = _apply_settings

    make_engine = DuckDBEngine.__init__
    make_catalog = MemoryCatalogRepository.__init__

    def engine_with_thread_lock(self: DuckDBEngine, *args: Any, **kwargs: Any) -> None:
        make_engine(self, *args, **kwargs)
        self._write_lock = threading.Lock()

    def catalog_for_threads(self: MemoryCatalogRepository, *args: Any, **kwargs: Any) -> None:
        make_catalog(self, *args, **kwargs)
        for name, value in vars(self).items():
            if isinstance(value, dict):
                setattr(self, name, _SteadyDict(value))

    DuckDBEngine.__init__ = engine_with_thread_lock
    MemoryCatalogRepository.__init__ = catalog_for_threads
