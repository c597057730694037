"""Log plain lines to stderr: no colours, no line per request unless asked for.

Stock writes JSON or coloured text, with a line for each request.
"""

import logging
from typing import Any

import bqemulator.server as server
import structlog
from bqemulator.config import LogLevel


def _configure(*, level: LogLevel, fmt: Any) -> None:
    del fmt  # one format only
    numeric = logging.getLevelNamesMapping()[level.value.upper()]
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    logging.basicConfig(level=numeric, format="%(message)s", force=True)
    if numeric > logging.DEBUG:
        logging.getLogger("bqemulator.api.middleware").setLevel(logging.WARNING)


def install() -> None:
    """Replace the server's logging set-up, and use it for what is logged before the server starts."""
    _configure(level=LogLevel.INFO, fmt=None)
    server.configure_logging = _configure
