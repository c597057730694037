"""Say what is wrong with a query as BigQuery does, and where: `Unrecognized name: foo at [3:5]`.

Stock passes on DuckDB's and sqlglot's words, with pieces of the translated text and terminal
colours in them, and an invented position such as [1:8] or none. Here the name or token that the
error is about is looked up in the text that the user wrote.
"""

import re

import bqemulator.jobs.executor as executor
from bqemulator.domain.errors import DomainError, InvalidQueryError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_DUCKDB_ECHO = re.compile(r"\n+LINE \d+:.*", re.DOTALL)
_DUCKDB_KIND = re.compile(r"^Query execution failed: (?:Invalid Input Error: |(?=\w))")
_POSITION = re.compile(r"\s*at \[\d+:\d+\]")
_STOCK_POSITION = re.compile(r"at \[(\d+):(\d+)\]|Line (\d+), Col: (\d+)")
_TABLE = re.compile(r"(Table )([\w-]+)\.(?=\w+\.\w+)")
_REWORDED = (
    (re.compile(r"Could not convert string '([^']*)' to INT"), "Bad int64 value: {}"),
    (re.compile(r"Could not convert string '([^']*)' to D(?:OUBLE|ECIMAL)"), "Bad double value: {}"),
    (re.compile(r'Referenced column "([^"]+)" (?:was )?not found'), "Unrecognized name: {}"),
    (re.compile(r'does not have a column named "([^"]+)"'), "Unrecognized name: {}"),
    (re.compile(r"Expected table name but got <Token .*?text: (\S+),"), 'Syntax error: Unexpected "{}"'),
)
_ABOUT = re.compile(r'(?:Unrecognized name: |Function not found: |Unexpected (?:identifier )?")([^\s"]+)')


def position(text: str, offset: int) -> str:
    """`[line:column]` of an offset, both counted from one."""
    before = text[:offset]
    return f"[{before.count(chr(10)) + 1}:{offset - before.rfind(chr(10))}]"


def locate(error: DomainError, script: str, statement: str) -> DomainError:
    """Reword the error and give it its place in `script`, of which `statement` is the part that failed.

    Changes and returns the error. An error that has been here stays as it is.
    """
    if getattr(error, "located", False):
        return error
    raw = _COLOURS.sub("", error.message)
    message = _reword(_POSITION.sub("", raw))
    if isinstance(error, InvalidQueryError):
        offset = _offset(message, raw, statement)
        if offset is None and statement.strip() != script.strip().rstrip(";").rstrip():
            offset = 0  # at least which statement of the script it is
        if offset is not None:
            message = f"{message} at {position(script, max(script.find(statement), 0) + offset)}"
    error.message = message
    error.args = (message,)
    error.details = []
    error.located = True
    return error


def _reword(message: str) -> str:
    for pattern, wording in _REWORDED:
        found = pattern.search(message)
        if found:
            return wording.format(found[1])
    return _TABLE.sub(r"\1\2:", _DUCKDB_ECHO.sub("", _DUCKDB_KIND.sub("", message)))


def _offset(message: str, raw: str, statement: str) -> int | None:
    """Where in the statement the thing is that the message is about, if that can be told."""
    about = _ABOUT.search(message)
    if message.startswith("Syntax error"):
        stock = _STOCK_POSITION.search(raw)
        if stock is None:
            return None
        line, column = (int(number) for number in stock.groups() if number is not None)
        # The place that sqlglot gives is the last character of the token that it stumbled on, or of one after it.
        end = sum(len(text) + 1 for text in statement.split("\n")[: line - 1]) + column
        start = statement.rfind(about[1], 0, end) if about else -1
        return start if start >= 0 else end - 1
    if about is None:
        return None
    word = rf"(?<!\w){re.escape(about[1])}(?!\w)"
    found = re.search(word, statement, re.IGNORECASE)
    return found.start() if found else None


def install() -> None:
    """Locate the errors of single statements; those of scripts are located by `scripts`."""
    run = executor._run_single_sql

    async def run_located(project_id: str, sql: str, *rest: object, **options: object) -> object:
        try:
            return await run(project_id, sql, *rest, **options)
        except DomainError as error:
            raise locate(error, sql, sql) from error

    executor._run_single_sql = run_located
