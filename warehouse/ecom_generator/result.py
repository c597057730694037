"""How a command tells dayfill what came of it: the file that DAYFILL_RESULT names."""

import json
import os
from pathlib import Path
from typing import Any

from .folders import write_whole

Json = dict[str, Any]


def write_result(counts: dict[str, int], state: Json | None = None) -> None:
    """Write the counts, and what the next partition gets as `${previous.state.NAME}`, unless nobody asked for it."""
    if file := os.environ.get("DAYFILL_RESULT"):
        write_whole(Path(file), json.dumps({"counts": counts} | ({} if state is None else {"state": state})) + "\n")
