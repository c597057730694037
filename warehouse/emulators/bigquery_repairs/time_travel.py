"""Copy no table after each statement that changes it.

Stock keeps a full copy of a table per DML statement for `FOR SYSTEM_TIME AS OF`: 2.2 s to insert
one row into ten million. dayfill takes its backups itself. Explicit snapshots still work.
"""

from typing import Any

from bqemulator.versioning.snapshots import SnapshotManager


def install() -> None:
    """Skip the automatic snapshots."""
    capture = SnapshotManager.capture

    def capture_only_on_demand(self: SnapshotManager, *table: str, kind: str = "AUTO") -> Any:
        return None if kind == "AUTO" else capture(self, *table, kind=kind)

    SnapshotManager.capture = capture_only_on_demand
