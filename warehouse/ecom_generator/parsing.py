"""SQL that reads messy CSV lines: cleans and types what it can, and says of every other line why not.

A row is a line: nobody writes line breaks into values here, so that a quote that is never closed costs its own line only.
"""

from .tables import SQL_TYPES, Column, Table

_FIELD = '(?:"(?:[^"]|"")*"|[^",]*)'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _fields() -> str:
    """The fields of `_line`, null where its quotes do not add up. Few lines have quotes, and splitting the others is ten times as fast."""
    quoted = rf"""
        list_transform(
            regexp_extract_all(',' || _line, ',({_FIELD})', 1),
            lambda each: case when starts_with(each, '"') then replace(each[2:-2], '""', '"') else each end
        )
    """
    return f"""
        case
            when not contains(_line, '"') then string_split(_line, ',')
            when regexp_full_match(_line, '{_FIELD}(?:,{_FIELD})*') then {quoted}
        end
    """


def _value(column: Column) -> str:
    """The typed value of the column's text, or null."""
    text, sql_type = f"{column.name}_text", SQL_TYPES[column.kind]
    match column.kind:
        case "integer":
            # A cast alone would round 1.5 and take 1e3.
            return f"case when regexp_full_match({text}, '-?[0-9]+') then try_cast({text} as {sql_type}) end"
        case "money":
            return f"coalesce(try_cast({text} as {sql_type}), try_cast(replace(replace({text}, '$', ''), ',', '') as {sql_type}))"
        case "timestamp":
            return f"coalesce(try_cast({text} as timestamp), try_strptime({text}, '%m/%d/%Y %I:%M:%S %p'))"
        case "word":
            known = ", ".join(map(_text, column.words))
            return f"case when lower({text}) in ({known}) then lower({text}) end"
        case "text":
            return text
        case _:
            return f"try_cast({text} as {sql_type})"


def _unreadable(column: Column) -> str:
    """Whether the column has no value where it must have one, or a text that is none."""
    return f"{column.name} is null" if column.required else f"({column.name} is null and {column.name}_text is not null)"


def typed(table: Table, source: str, bounds: tuple[str, str]) -> str:
    """A query of the rows in `source`, whose columns are `_number` and `_line`: the table's columns and `_number`, and `_reason`, `_column` and `_line` of those that it cannot take.

    `bounds` are the first and last day that the table's event may fall on.
    """
    names = [column.name for column in table.columns]
    texts = ", ".join(f"nullif(trim(_fields[{place}]), '') as {name}_text" for place, name in enumerate(names, start=1))
    values = ", ".join(f"{_value(column)} as {column.name}" for column in table.columns)
    unreadable = "".join(f" when {_unreadable(column)} then {_text(column.name)}" for column in table.columns)
    outside, at = "", ""
    if table.event is not None:
        outside = f"when {table.event}::date not between date {_text(bounds[0])} and date {_text(bounds[1])} then 'outside_chunk'"
        at = f"when 'outside_chunk' then {_text(table.event)}"
    return f"""
        with split as (select _number, _line, {_fields()} as _fields from {source}),
        texts as (select _number, _line, coalesce(len(_fields), 0) = {len(names)} as _whole, {texts} from split),
        typed as (select *, {values} from texts),
        judged as (select *, case when _whole then case {unreadable} end end as _unreadable from typed),
        reasoned as (select *, case when not _whole then 'malformed' when _unreadable is not null then 'unreadable' {outside} end as _reason from judged)
        select _number, {", ".join(names)}, _reason, case _reason when 'unreadable' then _unreadable {at} end as _column, case when _reason is not null then _line end as _line
        from reasoned
    """
