"""Which tables a statement names, where their names stand in its text, and other names in their place."""

from dataclasses import dataclass

from sqlglot import exp
from sqlglot.tokens import TokenType

from sql_guard.refusal import Refusal
from sql_guard.text import Statement, line_at


@dataclass(frozen=True)
class Allowed:
    project: str
    dataset: str | None
    datasets: tuple[str, ...]


@dataclass
class TableName:
    node: exp.Table
    table: str
    """`project.dataset.table`."""
    start: int
    end: int
    """Where its name stands in the whole text."""


def tables_of(statement: Statement) -> list[TableName]:
    """Every table that a statement names, whatever it does with it; names of WITH are resolved by their scope."""
    found = []
    for node in table_nodes(statement.tree):
        if not isinstance(node.this, exp.Identifier):
            raise Refusal(
                f"line {statement.line}: {name_of(node)} is no table: a fix reads tables and subqueries, nothing else."
            )
        start, end = place_of(node, statement)
        found.append(TableName(node, ".".join(part.name for part in node.parts), start, end))
    return sorted(found, key=lambda table: table.start)


def table_nodes(tree: exp.Expression) -> list[exp.Table]:
    found = []
    todo: list[tuple[exp.Expression, frozenset[str]]] = [(tree, frozenset())]
    while todo:
        node, names = todo.pop()
        if isinstance(node, exp.Table) and not is_named_query(node, names):
            found.append(node)
        clause = node.args.get("with_")
        if clause is not None:
            inner = names | {query.alias.lower() for query in clause.expressions} if clause.recursive else names
            for query in clause.expressions:
                todo.append((query, inner))
                names = names | {query.alias.lower()}
                inner = inner | names
        todo.extend((child, names) for child in node.iter_expressions() if child is not clause)
    return found


def is_named_query(node: exp.Table, names: frozenset[str]) -> bool:
    return isinstance(node.this, exp.Identifier) and not node.args.get("db") and node.name.lower() in names


def name_of(node: exp.Table) -> str:
    return node.this.sql("bigquery")[:60] if node.this is not None else "this"


def place_of(node: exp.Table, statement: Statement) -> tuple[int, int]:
    """The tokens that spell the name, one way or the other: `a.b`, a.`b`, `a`.`b`, my-project.a.b."""
    wanted = ".".join(part.name for part in node.parts)
    tokens = statement.tokens
    marks = [part.meta.get("start") for part in node.parts]
    anchors = [index for index, token in enumerate(tokens) if token.start in marks]
    for first in range(max(0, min(anchors, default=0) - 8), max(anchors, default=-1) + 1):
        spelled = ""
        for token in tokens[first : first + 16]:
            spelled += statement.text[token.start : token.end + 1].strip("`")
            if spelled == wanted and token.end >= tokens[max(anchors)].start:
                return tokens[first].start, token.end + 1
            if not wanted.startswith(spelled):
                break
    raise Refusal(f"line {statement.line}: the table {wanted} is oddly spelled: write `project.dataset.table`.")


def qualified(table: TableName, allowed: Allowed, line: int) -> str:
    """The table's full name; raises Refusal for one that a fix may not touch."""
    parts = table.table.split(".")
    if any(part.upper() == "INFORMATION_SCHEMA" or part.startswith("__") for part in parts):
        raise Refusal(f"line {line}: {table.table} is about tables: a fix reads and changes plain tables only.")
    if len(parts) == 1:
        if allowed.dataset is None:
            raise Refusal(f"line {line}: {parts[0]} names no dataset: write `dataset.{parts[0]}`.")
        parts = [allowed.dataset, *parts]
    if len(parts) == 2:
        parts = [allowed.project, *parts]
    if len(parts) != 3:
        raise Refusal(f"line {line}: {table.table} is no table of a fix: write `project.dataset.table`.")
    project, dataset, name = parts
    if project != allowed.project:
        raise Refusal(f"line {line}: {table.table} is in another project: a fix stays in {allowed.project}.")
    if dataset not in allowed.datasets:
        one_of = ", ".join(allowed.datasets) or "none"
        raise Refusal(
            f"line {line}: {table.table} is in the dataset {dataset}, which is not among those that a fix may"
            f" touch ({one_of}): use one of these, or add it to fixes.datasets."
        )
    if not all(character.isalnum() or character in "_- " for character in name):
        raise Refusal(
            f"line {line}: {table.table} is no plain table: no wildcard, decorator or INFORMATION_SCHEMA in a fix."
        )
    return ".".join(parts)


def spliced(statement: Statement, tables: list[TableName], names: dict[int, str]) -> str:
    """The statement's own text with other names for some tables. @param names full name by position in `tables`."""
    pieces = []
    position = statement.start
    for index, table in enumerate(tables):
        name = names.get(index)
        if name is None:
            continue
        pieces.append(statement.text[position : table.start])
        if is_bare_delete(table.node, statement):
            pieces.append("from ")
        pieces.append(f"`{name}`")
        if needs_alias(table.node) and name.split(".")[-1] != table.table.split(".")[-1]:
            pieces.append(f" as `{table.table.split('.')[-1]}`")
        position = table.end
    pieces.append(statement.text[position : statement.end])
    return "".join(pieces)


def is_bare_delete(node: exp.Table, statement: Statement) -> bool:
    """DELETE without FROM, which the emulator does not take."""
    is_target = isinstance(statement.tree, exp.Delete) and statement.tree.this is node
    return is_target and statement.tokens[1].token_type != TokenType.FROM


def needs_alias(node: exp.Table) -> bool:
    """Whether columns may be written by the table's own name, which then has to stay."""
    parent = node.parent
    of_create_or_insert = isinstance(parent, (exp.Create, exp.Insert, exp.Schema, exp.LikeProperty))
    return not of_create_or_insert and not node.alias


def refuse_hidden_arrays(statement: Statement) -> None:
    """`from t, t.items` reads an array or a table, depending on what there is."""
    written = sum(token.token_type == TokenType.UNNEST for token in statement.tokens)
    if sum(1 for _ in statement.tree.find_all(exp.Unnest)) > written:
        line = line_at(statement.text, statement.start)
        raise Refusal(f"line {line}: an array is read without its name: write unnest(…) around it.")
