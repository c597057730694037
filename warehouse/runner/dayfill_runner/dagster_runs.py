"""Runs jobs of one Dagster project in one process, with its definitions and Dagster's instance kept loaded."""

import contextlib
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .after_import import after_import
from .dagster_job import cancel, load_job, perform, tell_error
from .dbt_shortcuts import ANYWHERE, take
from .output import Emit
from .sources import contents, installed_packages, source_files
from .warm import Unsupported


class DagsterRuns:
    """Carries out `{"module": …, "job": …, "tags": {…}}`, always in the folder of the same project."""

    stdout_is_ours = True

    def __init__(self) -> None:
        try:
            import dagster  # noqa: F401
        except ImportError as error:
            raise Unsupported(f"Dagster cannot be imported by {sys.executable}: {error}") from error
        # For jobs that run dbt in this process; the others need not wait for its import.
        after_import("dbt.cli.main", lambda: take(ANYWHERE))
        self._packages = installed_packages()
        self._instance: Any = None
        self._jobs: dict[tuple[str, str], Any] = {}
        self._sources: dict[str, str] = {}
        self._run_id: str | None = None

    def outdated(self) -> str | None:
        """Return why this process can no longer do what a new one would; None while it can."""
        if installed_packages() != self._packages:
            return "the packages of the environment have changed"
        if self._sources and contents(self._read_files()) != self._sources:
            return "the code of the project has changed"
        return None

    def run(self, ask: dict[str, Any], emit: Emit) -> int:
        """Run the job; returns the exit code."""
        self._run_id = str(uuid.uuid4())
        try:
            with self._noticing_changes():
                job = self._job(ask)
                return perform(self._instance, job, dict(ask["tags"]), self._run_id, emit)
        except Exception as error:
            return tell_error(error, emit)
        finally:
            self._run_id = None

    def load(self, ask: dict[str, Any], emit: Emit) -> int:
        """Load instance and job; returns the exit code."""
        try:
            with self._noticing_changes():
                self._job(ask)
            return 0
        except Exception as error:
            return tell_error(error, emit)

    def prepare(self) -> None:
        """Definitions and instance are kept as they are."""

    def cancel(self, emit: Emit) -> None:
        """Mark the run under way as canceled."""
        if self._run_id is not None and self._instance is not None:
            cancel(self._instance, self._run_id, emit)

    def _job(self, ask: dict[str, Any]) -> Any:
        from dagster import DagsterInstance

        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        if self._instance is None:
            self._instance = DagsterInstance.get()
        name = (ask["module"], ask["job"])
        if name not in self._jobs:
            self._jobs[name] = load_job(*name)
        return self._jobs[name]

    @contextlib.contextmanager
    def _noticing_changes(self) -> Iterator[None]:
        # Before anything of it is imported: what changes from now on is noticed.
        before = contents(self._read_files())
        try:
            yield
        finally:
            self._sources = {**contents(self._read_files()), **before}

    def _read_files(self) -> list[Path]:
        """Return the files of the project, and of what was imported from elsewhere, but not from an environment."""
        environments = (sys.prefix, sys.base_prefix, str(Path(__file__).parent))
        modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        elsewhere = {Path(file) for file in modules if file and file.endswith(".py") and not file.startswith(environments)}
        home = Path(os.environ.get("DAGSTER_HOME", "."), "dagster.yaml")
        return sorted({*source_files(Path.cwd()), *elsewhere, home})
