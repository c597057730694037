"""Types of command line arguments that the makers of sample tables share."""

import argparse
import re
from datetime import date


def day(text: str) -> date:
    """Return the day; argparse says in one sentence when the text is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day; write it as 2025-07-01") from None


def client(text: str) -> str:
    """Return the prefix of datasets; argparse says in one sentence when the text is none."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no prefix of datasets; use a-z, 0-9 and _, a letter first")
    return text
