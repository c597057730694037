"""Folders that appear whole or not at all, one writer at a time, and room on the disk."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .refusal import Refusal


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the lock of a folder, which a process that dies lets go. Raises Refusal when another process holds it."""
    root.mkdir(parents=True, exist_ok=True)
    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refusal(f"Another process is writing to {root}; wait for its end.") from None
    finally:
        os.close(folder)


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of `folder` when all went well, and is removed otherwise."""
    temporary = emptied(folder.parent / f".tmp-{folder.name}")
    try:
        yield temporary
        replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def emptied(folder: Path) -> Path:
    """Make the folder, without what a process that died may have left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def replace(new: Path, folder: Path) -> None:
    """Move `new` to where `folder` is; in between there is none, never a mixture."""
    old = folder.with_name(f".old-{folder.name}")
    shutil.rmtree(old, ignore_errors=True)  # of a process that died between the two renames
    if folder.exists():
        os.rename(folder, old)
        os.rename(new, folder)
        shutil.rmtree(old)
    else:
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.rename(new, folder)


def write_whole(file: Path, text: str) -> None:
    """Write a file that is either as it was or complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".tmp-{file.name}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)


def need_room(root: Path, needed: int, reserve: int, what: str) -> None:
    """Raise Refusal unless the disk of `root` has room for `needed` bytes and the reserve besides."""
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if free < needed + reserve:
        raise Refusal(f"{what} needs about {_gib(needed)} in {root} and must leave {_gib(reserve)} free (min_free_disk), but only {_gib(free)} are free; make room or use another folder.")


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
