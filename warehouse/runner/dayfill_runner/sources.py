"""What a process that stays has read and must notice when it changes: by content, because a time stamp can stay the same."""

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

# What dbt and Dagster projects are made of; other files are data.
_SUFFIXES = frozenset((".sql", ".py", ".yml", ".yaml", ".md", ".csv", ".json", ".toml", ".cfg", ".ini"))
_NAMES = frozenset((".dbtignore", ".env"))
_NO_SOURCES = frozenset(("__pycache__", "node_modules"))
# Beside a dbt_project.yml, dbt writes here.
_DBT_OUTPUT = frozenset(("target", "logs"))


def contents(files: Iterable[Path]) -> dict[str, str]:
    """Return a hash of each file by its path; of one that cannot be read, an empty text."""
    return {str(file): _hash_of(file) for file in files}


def source_files(folder: Path) -> Iterator[Path]:
    """Yield the files below the folder that a project may be made of, links followed."""
    seen = set()
    for directory, names, files in os.walk(folder, followlinks=True):
        here = os.path.realpath(directory)
        if here in seen or "pyvenv.cfg" in files:
            names.clear()
            continue
        seen.add(here)
        output = _DBT_OUTPUT if "dbt_project.yml" in files else ()
        names[:] = [name for name in names if not name.startswith(".") and name not in _NO_SOURCES and name not in output]
        for name in files:
            if name in _NAMES or os.path.splitext(name)[1].lower() in _SUFFIXES:
                yield Path(directory, name)


def installed_packages() -> list[str]:
    """Return names and versions of what is installed in this environment."""
    folders = [Path(entry) for entry in sys.path if entry.endswith("-packages") and os.path.isdir(entry)]
    return sorted(name for folder in folders for name in os.listdir(folder) if name.endswith(".dist-info"))


def _hash_of(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""
