"""Translate a statement once that comes again, as those of a dbt project do with every build.

Stock parses, rewrites and prints each statement anew, a dozen times over, which takes longer than DuckDB takes for a day's
rows. What a statement becomes depends on its text, on the columns of its tables and on who sends it. The texts of two builds
differ in the remark that dbt begins each with, in the number that it gives to a temporary table and in the day that they
are for, which change nothing else.
"""

import json
import re
from functools import lru_cache
from typing import Any

import bqemulator.jobs.executor as executor
import bqemulator.scripting.interpreter as interpreter
import bqemulator.scripting.parser as script_parser
import bqemulator.sql.table_rewriter as table_rewriter
from bqemulator.domain.errors import DomainError
from bqemulator.domain.result import Err, Ok, Result
from bqemulator.row_access.identity import CallerIdentity
from bqemulator.sql.translator import SQLTranslator

_MOST_KEPT = 2048
_REMARK = re.compile(r"\s*/\*(?:[^*]|\*(?!/))*\*/[^\S\n]*(?=\n)")
_NUMBER = re.compile(r"(?<=__dbt_tmp)\d{12}")
_ANY_NUMBER = "0" * 12
_DAY = re.compile(r"'\d{4}-\d\d-\d\d'")
# A text with more days is data rather than a build's.
_MOST_DAYS = 9

# What a script is parsed to is never changed.
parse_script = lru_cache(maxsize=_MOST_KEPT)(script_parser.parse_script)


def without_remark(sql: str) -> str:
    """The text without a comment that its first lines consist of; whatever follows keeps its line and column."""
    remark = _REMARK.match(sql)
    return sql if remark is None else "\n" * remark[0].count("\n") + sql[remark.end() :]


def _stand_ins(sql: str) -> dict[str, str]:
    """What stands for the number of the one temporary table that the text names, and for its days, in their order."""
    numbers = set(_NUMBER.findall(sql))
    number = {numbers.pop(): _ANY_NUMBER} if len(numbers) == 1 else {}
    days = sorted(set(_DAY.findall(sql)))
    if len(days) > _MOST_DAYS:
        return number
    return number | {day: f"'900{place}-02-03'" for place, day in enumerate(days, 1)}


def _replaced(text: str, by: dict[str, str]) -> str:
    return re.sub("|".join(by), lambda found: by[found[0]], text) if by else text


@lru_cache(maxsize=_MOST_KEPT)
def _translated(sql: str, schema: str, caller: CallerIdentity | None) -> str:
    result = _stock_translate(_stateless, sql, schema=json.loads(schema), caller=caller)
    if isinstance(result, Err):
        raise result.error
    return result.value


_stateless = SQLTranslator()
_stock_translate = SQLTranslator.translate
_refs_rewritten = lru_cache(maxsize=_MOST_KEPT)(table_rewriter.rewrite_table_refs)


def _translate(
    _self: SQLTranslator, sql: str, *, schema: dict[str, Any] | None = None, caller: CallerIdentity | None = None
) -> Result:
    stand_ins = _stand_ins(sql)
    try:
        columns = _replaced(json.dumps(schema), stand_ins)
        translated = _translated(_replaced(sql, stand_ins), columns, caller)
        return Ok(_replaced(translated, {known: meant for meant, known in stand_ins.items()}))
    except DomainError:  # is not kept, and names the table as it is
        return _stock_translate(_stateless, sql, schema=schema, caller=caller)


def _rewrite_table_refs(sql: str, project_id: str) -> str:
    stand_ins = _stand_ins(sql)
    rewritten = _refs_rewritten(_replaced(sql, stand_ins), project_id)
    return _replaced(rewritten, {known: meant for meant, known in stand_ins.items()})


def install() -> None:
    """Keep what stock's translator, and the steps around it, make of a text."""
    SQLTranslator.translate = _translate
    executor.parse_script = parse_script
    executor.rewrite_table_refs = interpreter.rewrite_table_refs = _rewrite_table_refs
