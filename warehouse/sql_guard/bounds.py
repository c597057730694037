"""Which columns of its target a condition bounds to the partition."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from sqlglot import exp

Condition = exp.Expression | None

ADDITIONS = (exp.DateAdd, exp.TimestampAdd, exp.DatetimeAdd)
SUBTRACTIONS = (exp.DateSub, exp.TimestampSub, exp.DatetimeSub)
TRUNCATIONS = (exp.DateTrunc, exp.TimestampTrunc, exp.DatetimeTrunc)
PSEUDO_COLUMNS = {"_partitiontime", "_partitiondate"}
CAST = ("this", "to", "safe", "requires_string")
DAY_TYPES = (exp.DType.DATE,)
TEXT_TYPES = (exp.DType.TEXT,)
DAY = timedelta(days=1)
STEPS = {"DAY": DAY, "HOUR": DAY / 24, "MINUTE": DAY / 1440, "SECOND": timedelta(seconds=1)}
STEPS |= {"MILLISECOND": timedelta(milliseconds=1), "MICROSECOND": timedelta(microseconds=1)}
ISO_FORMATS = ("%Y-%m-%d", "%F")
MOMENT_TYPES = (exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ)


@dataclass(frozen=True)
class Partition:
    start: date
    end: date

    @property
    def first(self) -> datetime:
        return datetime.combine(self.start, time())

    @property
    def after(self) -> datetime:
        """The first moment that is no longer in it."""
        return datetime.combine(self.end, time()) + timedelta(days=1)

    def parameter(self, name: str) -> date | None:
        return {"partition": self.start, "partition_start": self.start, "partition_end": self.end}.get(name)


@dataclass(frozen=True)
class Target:
    """The table that a statement changes, as its conditions can name it."""

    name: str
    others: frozenset[str]
    """Names of what else is read: one of them could stand for a column, or for another table's row."""

    def column(self, node: exp.Expression) -> str | None:
        """The name of the target's column that a node is, in lower case; null for anything else."""
        if not isinstance(node, exp.Column) or not isinstance(node.this, exp.Identifier) or node.args.get("db"):
            return None
        name = node.name.lower()
        if node.table:
            qualifier = node.table.lower()
            return name if qualifier == self.name and qualifier not in self.others else None
        if name in self.others or name == self.name:
            return None
        # A column that a subquery calls so would hide the one that every table of this kind has.
        return None if name in PSEUDO_COLUMNS and self.others else name


def bound_columns(condition: Condition, target: Target, partition: Partition) -> set[str]:
    """Columns whose every value that meets the condition is within the partition."""
    bound: set[str] = set()
    above: set[str] = set()
    below: set[str] = set()
    for part in conjuncts(condition):
        if isinstance(part, (exp.EQ, exp.NullSafeEQ)):
            for left, right in ((part.this, part.expression), (part.expression, part.this)):
                column = day_column(left, target)
                if column and is_within(moment(right, partition), partition):
                    bound.add(column)
        elif isinstance(part, exp.In):
            column = day_column(part.this, target)
            days = [moment(each, partition) for each in listed(part)]
            plain = not any(part.args.get(key) for key in ("query", "field"))
            if column and plain and days and all(is_within(day, partition) for day in days):
                bound.add(column)
        elif isinstance(part, exp.Between) and not part.args.get("symmetric"):
            column = day_column(part.this, target)
            low, high = moment(part.args["low"], partition), moment(part.args["high"], partition)
            if column and is_within(low, partition) and is_within(high, partition) and not is_swapped(part, low, high):
                bound.add(column)
        else:
            add_comparison(part, target, partition, above, below)
    return bound | (above & below)


def add_comparison(part: exp.Expression, target: Target, partition: Partition, above: set[str], below: set[str]) -> None:
    kinds = {exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}
    sign = kinds.get(type(part))
    if sign is None:
        return
    column, limit = day_column(part.this, target), moment(part.expression, partition)
    if column is None:
        column, limit = day_column(part.expression, target), moment(part.this, partition)
        sign = {">": "<", "<": ">", ">=": "<=", "<=": ">="}[sign]
    if column is None or limit is None:
        return
    if sign in (">", ">=") and limit >= partition.first:
        above.add(column)
    elif limit < partition.after or (sign == "<" and limit == partition.after):
        if sign in ("<", "<="):
            below.add(column)


def listed(part: exp.In) -> list[exp.Expression]:
    """What stands in `in (…)`, or in `in unnest([…])`."""
    unnest = part.args.get("unnest")
    if unnest is None:
        return part.expressions
    array = unnest.expressions[0] if len(unnest.expressions) == 1 else None
    return array.expressions if isinstance(array, exp.Array) and not part.expressions else []


def is_swapped(part: exp.Between, low: datetime, high: datetime) -> bool:
    """On a day both ends are equal; written the wrong way round, the fix would miss every chunk of days."""
    names = [each.name for each in (part.args["low"], part.args["high"])]
    return low > high or (names[0] == "partition_end" and names[1] in ("partition", "partition_start"))


def is_within(value: datetime | None, partition: Partition) -> bool:
    return value is not None and partition.first <= value < partition.after


def conjuncts(condition: Condition) -> list[exp.Expression]:
    found = []
    todo = [condition] if condition is not None else []
    while todo:
        part = todo.pop()
        if isinstance(part, exp.Paren):
            todo.append(part.this)
        elif isinstance(part, exp.And):
            todo.extend((part.left, part.right))
        else:
            found.append(part)
    return found


def day_column(node: exp.Expression, target: Target) -> str | None:
    """The column in `col`, `date(col)`, `cast(col as date)`, `timestamp_trunc(col, day)`, `format_date('%F', col)`; UTC only."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Date) and only(node, "this", "zone") and is_utc(node.args.get("zone")):
        node = node.this
    elif is_iso_text(node):
        # Text of a day compares as the day does.
        node = node.this.this
    elif isinstance(node, (exp.Cast, exp.TryCast)) and only(node, *CAST) and node.to.this in DAY_TYPES:
        node = node.this
    elif isinstance(node, TRUNCATIONS) and only(node, "this", "unit") and unit_of(node) == "DAY":
        node = node.this
    elif isinstance(node, exp.Extract) and only(node, "this", "expression") and node.name.upper() == "DATE":
        node = node.expression
    return target.column(node)


def is_utc(zone: exp.Expression | None) -> bool:
    return zone is None or (isinstance(zone, exp.Literal) and zone.is_string and zone.name == "UTC")


def is_iso_text(node: exp.Expression) -> bool:
    """`format_date('%F', day)`."""
    is_text = isinstance(node, exp.TimeToStr) and isinstance(node.this, exp.TsOrDsToDate)
    return is_text and only(node, "this", "format") and node.text("format") in ISO_FORMATS


def moment(node: exp.Expression, partition: Partition) -> datetime | None:
    """The value of a constant that is a day or a moment, in UTC; null for anything else."""
    if isinstance(node, exp.Paren):
        return moment(node.this, partition)
    if isinstance(node, exp.Parameter) and only(node, "this"):
        day = partition.parameter(node.name)
        return None if day is None else datetime.combine(day, time())
    if isinstance(node, exp.Literal) and node.is_string:
        return moment_of(node.name)
    if isinstance(node, (exp.Cast, exp.TryCast)) and only(node, *CAST) and node.to.this in MOMENT_TYPES:
        value = moment(node.this, partition)
        return midnight(value) if node.to.this in DAY_TYPES else value
    if isinstance(node, exp.Date) and only(node, "this"):
        return midnight(moment(node.this, partition))
    if is_iso_text(node):
        return midnight(moment(node.this.this, partition))
    if isinstance(node, exp.Cast) and only(node, *CAST) and node.to.this in TEXT_TYPES and is_day(node.this):
        return moment(node.this, partition)
    if isinstance(node, exp.DateFromParts) and only(node, "year", "month", "day"):
        return day_of_parts(node)
    if isinstance(node, exp.StrToDate) and only(node, "this", "format") and node.text("format") in ISO_FORMATS:
        return moment(node.this, partition)
    if isinstance(node, exp.Timestamp) and only(node, "this", "with_tz"):
        return moment(node.this, partition)
    if isinstance(node, exp.TsOrDsToDatetime) and only(node, "this"):
        return moment(node.this, partition)
    if isinstance(node, (*ADDITIONS, *SUBTRACTIONS)) and only(node, "this", "expression", "unit"):
        step = STEPS.get(unit_of(node))
        return step and shifted(node, step if isinstance(node, ADDITIONS) else -step, partition)
    if isinstance(node, (exp.Add, exp.Sub)) and only(node, "this", "expression"):
        return shifted(node, DAY if isinstance(node, exp.Add) else -DAY, partition)
    return None


def is_day(node: exp.Expression) -> bool:
    """A DATE, whose text is the ISO date."""
    return isinstance(node, (exp.Parameter, exp.DateAdd, exp.DateSub))


def day_of_parts(node: exp.DateFromParts) -> datetime | None:
    parts = [node.args[name] for name in ("year", "month", "day")]
    if not all(isinstance(part, exp.Literal) and part.name.isdecimal() and len(part.name) < 5 for part in parts):
        return None
    try:
        return datetime(*(int(part.name) for part in parts))
    except ValueError:
        return None


def shifted(node: exp.Expression, step: timedelta, partition: Partition) -> datetime | None:
    value = moment(node.this, partition)
    days = node.expression
    while isinstance(days, (exp.Neg, exp.Paren)):
        step = -step if isinstance(days, exp.Neg) else step
        days = days.this
    if value is None or not isinstance(days, exp.Literal) or not days.name.isdecimal() or len(days.name) > 4:
        return None
    try:
        return value + step * int(days.name)
    except OverflowError:
        return None


def midnight(value: datetime | None) -> datetime | None:
    return None if value is None else datetime.combine(value.date(), time())


def moment_of(text: str) -> datetime | None:
    if len(text) < 10 or text[4] != "-" or text[7] != "-" or not text.isascii():
        return None
    try:
        day = date.fromisoformat(text[:10])
        if len(text) == 10:
            return datetime.combine(day, time())
        zone = next((zone for zone in (" UTC", "+00:00", "+00", "Z") if text.endswith(zone)), "")
        if text[10] not in " T" or text[11:].count(":") != 2:
            return None
        clock = time.fromisoformat(text[11:].removesuffix(zone))
    except ValueError:
        return None
    return None if clock.tzinfo else datetime.combine(day, clock)


def unit_of(node: exp.Expression) -> str:
    unit = node.args.get("unit")
    return unit.name.upper() if isinstance(unit, (exp.Var, exp.Literal)) else ""


def only(node: exp.Expression, *names: str) -> bool:
    """Whether nothing else is set, such as a time zone or a format."""
    return all(name in names for name, value in node.args.items() if value not in (None, False, []))
