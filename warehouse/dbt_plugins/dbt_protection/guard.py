"""What one run of dbt may not do, and why it was stopped."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

from dbt_common.exceptions import DbtRuntimeError

from dbt_protection.relations import Protected

Exists = Callable[[str], bool]
"""Whether there is a table of that full name, by the warehouse itself rather than by dbt's cache."""


class Refused(DbtRuntimeError):
    """A protected table would have been replaced or emptied; nothing of it has happened."""


class NotYet(DbtRuntimeError):
    """While it is looked at what a run would do, nothing is changed."""

    def __init__(self) -> None:
        super().__init__("Nothing is changed while the protection of tables looks at what the run would do.")


class Guard:
    def __init__(self, protected: Protected, report: Path | None) -> None:
        self.protected = protected
        self.refusal: str | None = None
        self.looking_at: str | None = None
        """What is compiled just now to see what it would do; then nothing is changed."""
        self._report = report
        self._lock = threading.Lock()

    @classmethod
    def of(cls, settings: dict) -> "Guard":
        """@param settings `protected`, `targets`, `known` as in relations.py; `report`: file that gets a JSON line per fact."""
        protected = Protected.of(settings.get("protected", []), settings.get("targets"), settings.get("known", []))
        report = settings.get("report")
        return cls(protected, None if report is None else Path(report))

    def refuse(self, relation: str, way: str) -> None:
        """@raises Refused, always."""
        short = relation.split(".", 1)[-1]
        sentence = (
            f"{relation} is protected and was left as it is: {way} would replace or empty it."
            f' To allow that, write "!{short}" under protected in the step.'
        )
        with self._lock:
            if self.refusal is None:
                self.refusal = sentence
                self.report({"refusal": sentence})
        raise Refused(sentence)

    def stop_after_refusal(self) -> None:
        """Once something was refused, nothing else is changed either."""
        if self.refusal is not None:
            raise Refused(f"The run was stopped: {self.refusal}")

    def report(self, fact: dict) -> None:
        if self._report is None:
            return
        # Several invocations of one step may share it.
        line = (json.dumps(fact) + "\n").encode()
        descriptor = os.open(self._report, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)
