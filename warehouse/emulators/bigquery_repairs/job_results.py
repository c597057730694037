"""Keep the rows of the latest jobs only.

Stock keeps every result in memory for ever: 4 MB for each dbt build.
"""

from collections import OrderedDict
from typing import Any

import bqemulator.api.routes.jobs as job_routes
import bqemulator.jobs.executor as executor

KEPT_RESULTS = 300


class _Latest(OrderedDict):
    """A dictionary that drops its oldest entry beyond `KEPT_RESULTS`."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        while len(self) > KEPT_RESULTS:
            self.popitem(last=False)


def install() -> None:
    """Bound the two dictionaries in which jobs leave their rows and schemas."""
    for name in ("JOB_RESULTS", "JOB_SCHEMAS"):
        kept = _Latest()
        for module in (executor, job_routes):
            setattr(module, name, kept)
