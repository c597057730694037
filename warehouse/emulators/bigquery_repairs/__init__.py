"""What bqemulator does wrong, put right: one concern per module.

The repairs replace functions inside bqemulator, so they fit one version only.
"""

import sys
import warnings
from importlib.metadata import PackageNotFoundError, version

REPAIRED_VERSION = "1.4.0"


def install() -> None:
    """Put every repair in place. Exits when the installed bqemulator is another version."""
    try:
        installed = version("bqemulator")
    except PackageNotFoundError:
        sys.exit("bqemulator is not installed here: install warehouse/requirements.lock and use that environment.")
    if installed != REPAIRED_VERSION:
        sys.exit(
            f"bqemulator {installed} is installed, but the repairs fit {REPAIRED_VERSION} only: "
            "install warehouse/requirements.lock."
        )

    warnings.filterwarnings("ignore", message=r"sqlglot\[rs\] is deprecated")
    from . import (
        connections,
        costs,
        error_messages,
        job_results,
        job_routes,
        logs,
        parsing,
        repeats,
        requests,
        schema_changes,
        scripts,
        shutdown,
        streaming,
        time_travel,
        translation,
        uploads,
    )

    for repair in (
        logs,
        parsing,
        connections,
        time_travel,
        translation,
        repeats,
        error_messages,
        scripts,
        job_results,
        job_routes,
        costs,
        uploads,
        requests,
        shutdown,
    ):
        repair.install()
    requests.serve_first(requests.router, job_routes.router, streaming.router, schema_changes.router)
