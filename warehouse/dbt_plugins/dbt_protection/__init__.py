"""A plugin of dbt (dbt imports every module named dbt_*): no run replaces or empties a protected table.

Its settings are in DAYFILL_PROTECTION. README.md, one folder up, says what is protected and how.
"""

import json
import os

from dbt.plugins import dbtPlugin

ENVIRONMENT = "DAYFILL_PROTECTION"


class ProtectionPlugin(dbtPlugin):
    """Made by dbt for each invocation, each of which has settings of its own."""

    def initialize(self) -> None:
        from dbt_protection.guard import Guard
        from dbt_protection.interception import protect

        settings = os.environ.get(ENVIRONMENT)
        protect(Guard.of(json.loads(settings)) if settings else None)


plugins = [ProtectionPlugin]
