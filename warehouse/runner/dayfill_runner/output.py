"""What a runner tells the worker: JSON lines on stdout."""

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

Emit = Callable[[dict[str, Any]], None]


def json_lines_on_stdout() -> tuple[TextIO, Emit]:
    """Return the real stdout, and what writes an event there; from here on whatever else prints to stdout lands on stderr."""
    sys.stdout.flush()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def emit(event: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(event, ensure_ascii=False) + "\n")
            out.flush()

    return out, emit


def one_line(error: BaseException) -> str:
    """Return what the error is and says, in one line of at most 1000 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:1000]
