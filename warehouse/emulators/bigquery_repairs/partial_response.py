"""The parts of an answer that a caller asks for by `fields`, such as `nextPageToken,jobs(id,statistics(query/cacheHit))`."""

import re
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(r"[\w*]+|[(),/]")

Mask = dict[str, "Mask"]
"""What is wanted by name; of a value without a mask of its own all of it."""


def selected(value: Any, fields: str) -> Any:
    """Return what the fields name, of each item of a list."""
    return _masked(value, _mask_of(fields))


@lru_cache(maxsize=64)
def _mask_of(fields: str) -> Mask:
    tokens = _TOKEN.findall(fields)

    def members() -> Mask:
        mask: Mask = {}
        while tokens:
            below = mask.setdefault(tokens.pop(0), {})
            while tokens and tokens[0] == "/":
                tokens.pop(0)
                below = below.setdefault(tokens.pop(0), {})
            if tokens and tokens[0] == "(":
                tokens.pop(0)
                below.update(members())
            if not tokens or tokens.pop(0) == ")":
                break
        return mask

    return members()


def _masked(value: Any, mask: Mask) -> Any:
    if isinstance(value, list):
        return [_masked(item, mask) for item in value]
    if not mask or not isinstance(value, dict):
        return value
    return {name: _masked(value[name], below) for name, below in mask.items() if name in value}
