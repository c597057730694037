"""Stop within three seconds of SIGTERM, whatever runs.

Stock waits for requests under way, which can be a query of an hour.
"""

import os
import threading

from bqemulator.server import EmulatorServer

from .job_runner import runner

_PATIENCE_SECONDS = 2.0


def install() -> None:
    """Stop running jobs first; then end the process if stock's own way takes too long."""
    stop = EmulatorServer.stop

    async def stop_in_time(self: EmulatorServer) -> None:
        # DuckDB's log makes an abrupt end as safe as a clean one.
        deadline = threading.Timer(_PATIENCE_SECONDS, os._exit, [0])
        deadline.daemon = True
        deadline.start()
        runner.stop()
        await stop(self)

    EmulatorServer.stop = stop_in_time
