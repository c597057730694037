"""A process that stays: it reads requests from stdin, carries them out one after another, and tells what happens; all as JSON lines."""

import gc
import json
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from typing import Any, Protocol, TextIO

from .output import Emit, json_lines_on_stdout, one_line


# Loading, and a run.
_FIRST_RUNS = 2


class Unsupported(Exception):
    """This environment lacks what a process that stays needs; the message is the reason."""


class Work(Protocol):
    """What a process does again and again."""

    stdout_is_ours: bool
    """Whether only events go to stdout. Otherwise what the tool prints does too."""

    def outdated(self) -> str | None:
        """Return why this process can no longer do what a new one would; None while it can."""

    def run(self, ask: dict[str, Any], emit: Emit) -> int:
        """Carry out a request; returns the exit code that a program for it alone would have."""

    def load(self, ask: dict[str, Any], emit: Emit) -> int:
        """Do beforehand what a request like this would begin with; returns the exit code."""

    def prepare(self) -> None:
        """Do now what the next request would have to wait for."""

    def cancel(self, emit: Emit) -> None:
        """Put in order what is under way before the process ends."""


def main(arguments: list[str]) -> int:
    """Serve requests until stdin ends, SIGTERM comes, or something has changed that only a new process takes in."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    out, emit = json_lines_on_stdout()
    inbox: queue.SimpleQueue[int] = queue.SimpleQueue()
    # What is imported stays: to look through it for garbage takes longer than it is worth while somebody waits.
    gc.set_threshold(500_000, 20, 50)
    try:
        work = _work(arguments[0])
    except Unsupported as error:
        emit({"event": "unsupported", "message": str(error)})
        return 2
    # A run that is told to stop has something to put in order only where stdout is ours; dbt is ended by the signal itself, as ever.
    for number in (signal.SIGTERM, signal.SIGINT) if work.stdout_is_ours else ():
        signal.signal(number, lambda received, _frame: inbox.put(128 + received))
    if not work.stdout_is_ours:
        sys.stdout = out
    gc.freeze()
    emit({"event": "ready"})

    def serve() -> None:
        try:
            _serve(requests, work, emit)
        finally:
            inbox.put(0)

    # In a thread of its own, so that this one is always free to answer a signal.
    threading.Thread(target=serve, name="requests", daemon=True).start()
    code = inbox.get()
    if code != 0:
        work.cancel(emit)
    return code


def _work(kind: str) -> Work:
    if kind == "dbt":
        from .dbt_build import DbtBuilds

        return DbtBuilds()
    from .dagster_runs import DagsterRuns

    return DagsterRuns()


def _serve(requests: TextIO, work: Work, emit: Emit) -> None:
    for number, line in enumerate(requests):
        request = json.loads(line)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        reason = work.outdated()
        if reason is not None:
            emit({"event": "renew", "message": reason})
            return
        try:
            carry_out = work.load if request.get("only") == "load" else work.run
            code = carry_out(request["ask"], emit)
        except BaseException as error:
            traceback.print_exc()
            print(one_line(error), file=sys.stderr)
            code = 2
        sys.stdout.flush()
        sys.stderr.flush()
        # Whoever reads both streams knows by the mark that there is nothing more of this run.
        os.write(2, f"{request['mark']}\n".encode())
        emit({"event": "end", "mark": request["mark"], "exitCode": code, "peakBytes": _peak_bytes()})
        gc.collect()
        # What the first runs load and make stays as well; garbage of theirs that is found out later is little.
        if number < _FIRST_RUNS:
            gc.freeze()
        work.prepare()


def _peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
