"""Which relations are protected."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from re import split

# Of a target that says nothing else: by the first word of its name.
UNPROTECTED_TARGETS = {"dev", "development", "local", "test", "testing", "ci", "sandbox", "scratch"}
# What dbt makes and takes away again for each build.
TEMPORARY = ("__dbt_tmp", "__dbt_backup")


@dataclass
class Protected:
    """The answer for one run. Names are `project.dataset.table`, compared without regard to case."""

    patterns: list[str]
    """`dataset.table` with * and ?; one that begins with ! takes tables out again."""
    targets: list[str] | None
    """Names of protected targets with * and ?; None for the rule by their first word."""
    known: dict[str, str]
    """What protected targets have built as incremental: protected whatever has become of model and target."""
    target: str = ""
    incremental: dict[str, str] = field(default_factory=dict)
    """Of the project at hand. Both by their names in lower case."""

    @classmethod
    def of(cls, patterns: Iterable[str], targets: Iterable[str] | None, known: Iterable[str]) -> "Protected":
        lower = [pattern.lower() for pattern in patterns]
        return cls(lower, None if targets is None else list(targets), by_lower_case(known))

    @property
    def is_target(self) -> bool:
        if self.targets is None:
            return split(r"[^a-z0-9]", self.target.lower())[0] not in UNPROTECTED_TARGETS
        return any(fnmatchcase(self.target, pattern) for pattern in self.targets)

    def __contains__(self, name: str) -> bool:
        name = name.lower()
        short = name.split(".", 1)[-1]
        if any(mark in short for mark in TEMPORARY) or self.matches(short, but=True):
            return False
        if name in self.known:
            return True
        return self.is_target and (name in self.incremental or self.matches(short))

    def as_built(self, name: str) -> str:
        """In the letters of the one who built it, where they are known."""
        return self.known.get(name.lower()) or self.incremental.get(name.lower()) or name

    def matches(self, short: str, but: bool = False) -> bool:
        patterns = (pattern[1:] if but else pattern for pattern in self.patterns if pattern.startswith("!") is but)
        return any(fnmatchcase(short, pattern) for pattern in patterns)

    def named(self, table: str) -> str | None:
        """A protected relation of that table name, whatever its dataset."""
        table = table.lower()
        return next((name for name in sorted(self.all_named) if name.lower().split(".")[-1] == table), None) or next(
            (
                f"{pattern.split('.')[0]}.{table}"
                for pattern in self.patterns
                if self.is_target and not pattern.startswith("!") and fnmatchcase(table, pattern.split(".", 1)[-1])
            ),
            None,
        )

    @property
    def all_named(self) -> set[str]:
        """Those that are known by name."""
        return {full for name, full in (self.known | self.incremental).items() if name in self}

    @property
    def any(self) -> bool:
        return bool(self.all_named) or (self.is_target and any(not pattern.startswith("!") for pattern in self.patterns))


def by_lower_case(names: Iterable[str]) -> dict[str, str]:
    return {name.lower(): name for name in names}
