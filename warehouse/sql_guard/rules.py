"""The rules of a fix: which statements are refused, and what the rest does."""

from dataclasses import dataclass
from typing import Any

from sqlglot import exp
from sqlglot.tokens import TokenType

from sql_guard.bounds import Partition, Target, bound_columns
from sql_guard.functions import refuse_functions
from sql_guard.refusal import Refusal
from sql_guard.tables import Allowed, TableName, qualified, refuse_hidden_arrays, tables_of
from sql_guard.text import Statement, not_allowed

PARAMETERS = {"partition", "partition_start", "partition_end"}
KEEPS_ASIDE = ("quarantine", "backup")
TABLE_OPTIONS = {
    "description",
    "expiration_timestamp",
    "friendly_name",
    "labels",
    "partition_expiration_days",
    "require_partition_filter",
}
# What a statement may consist of; sqlglot reads other dialects' clauses too.
CLAUSES = {
    exp.Create: {"this", "kind", "exists", "expression", "properties"},
    exp.Insert: {"this", "expression"},
    exp.Update: {"this", "expressions", "from_", "where"},
    exp.Delete: {"this", "where"},
    exp.Merge: {"this", "using", "on", "whens"},
}
TABLE_CLAUSES = {"this", "db", "catalog", "alias", "joins", "pivots", "sample", "version"}
SOURCES = (exp.Table, exp.Subquery, exp.Unnest)
UNREADABLE = (exp.Command, exp.DDL, exp.DML, exp.Into, exp.Lateral, exp.Kill)


@dataclass
class Read:
    """A statement that passed, before its names are put into other words."""

    statement: Statement
    tables: list[TableName]
    names: list[str]
    """Full names, by position in `tables`."""
    target: int
    """Position of the table that it changes."""
    bound: list[str]
    assigns: list[str]
    created: dict[str, Any] | None

    @property
    def kind(self) -> str:
        return type(self.statement.tree).__name__.lower()

    @property
    def table(self) -> str:
        return self.names[self.target]


def without_transaction(statements: list[Statement]) -> list[Statement]:
    """Leaves BEGIN and COMMIT out: dayfill makes its own transaction of all that changes."""
    left = []
    state = "before"
    for statement in statements:
        tree = statement.tree
        if isinstance(tree, (exp.Transaction, exp.Commit)):
            begins = isinstance(tree, exp.Transaction)
            if state != ("before" if begins else "inside") or any(tree.args.values()):
                raise Refusal(
                    f"line {statement.line}: a fix has at most one BEGIN TRANSACTION and one COMMIT, in this order: dayfill"
                    " runs all of it in one transaction."
                )
            state = "inside" if begins else "after"
        elif state == "after":
            raise Refusal(f"line {statement.line}: this comes after COMMIT: put it before.")
        else:
            left.append(statement)
    if state == "inside":
        raise Refusal("BEGIN TRANSACTION has no COMMIT: add it at the end, or leave out both.")
    if not left:
        raise Refusal("The SQL changes nothing: write what is to change.")
    return left


def refuse_late_creates(reads: list[Read]) -> None:
    changed = False
    for each in reads:
        if each.kind != "create":
            changed = True
        elif changed:
            raise Refusal(
                f"line {each.statement.line}: put this CREATE before the first change: a transaction creates no tables."
            )


def read(statement: Statement, allowed: Allowed, creates: list[str], partition: Partition) -> Read:
    tree, line = statement.tree, statement.line
    refuse_statement(statement)
    refuse_parts(statement)
    refuse_functions(tree, line)
    refuse_hidden_arrays(statement)
    tables = tables_of(statement)
    names = [qualified(table, allowed, line) for table in tables]
    changed = target_of(statement)
    target = next(index for index, table in enumerate(tables) if table.node is changed)
    bound: set[str] = set()
    if isinstance(tree, (exp.Update, exp.Delete, exp.Merge)):
        bound = bound_by(tree, changed, partition)
        if not bound:
            raise Refusal(
                f"line {line}: this {type(tree).__name__.upper()} is not bound to the partition: add"
                f' "and <day column> = @partition" {where_to_add(tree)}.'
            )
    created = None
    if isinstance(tree, exp.Create):
        refuse_create(statement, names[target], creates)
        created = told_of_create(tree, names, tables)
    return Read(statement, tables, names, target, sorted(bound), assigned(tree, changed), created)


def refuse_statement(statement: Statement) -> None:
    tree, line = statement.tree, statement.line
    if isinstance(tree, (exp.Query, exp.Paren)) and not isinstance(tree, exp.Table):
        raise Refusal(f"line {line}: a SELECT changes nothing: leave it out, or make it part of an INSERT or MERGE.")
    clauses = CLAUSES.get(type(tree))
    if clauses is None:
        raise not_allowed(line, " ".join(token.text for token in statement.tokens[:2]))
    if isinstance(tree, exp.Create) and tree.args.get("kind") != "TABLE":
        raise not_allowed(line, f"CREATE {tree.args.get('kind')}")
    for clause, value in tree.args.items():
        if value not in (None, False, []) and clause not in clauses:
            if clause == "replace":
                raise Refusal(f"line {line}: OR REPLACE is not allowed, it loses what is there: write CREATE TABLE IF NOT EXISTS.")
            name = clause.strip("_").replace("_", " ").upper()
            raise Refusal(f"line {line}: {name} is not allowed in {type(tree).__name__.upper()}: leave it out.")


def refuse_parts(statement: Statement) -> None:
    """Whatever may stand nowhere in a statement."""
    line = statement.line
    if any(token.token_type == TokenType.PIPE_GT for token in statement.tokens):
        raise Refusal(f"line {line}: |> is not understood here: write the query with SELECT.")
    for node in statement.tree.walk():
        if isinstance(node, exp.Parameter):
            if not isinstance(node.this, exp.Var) or node.name not in PARAMETERS or node.args.get("expression"):
                raise Refusal(
                    f"line {line}: the parameter {node.sql('bigquery')} does not exist: there are @partition,"
                    " @partition_start and @partition_end."
                )
        elif isinstance(node, (exp.Placeholder, exp.SessionParameter)):
            raise Refusal(f"line {line}: {node.sql('bigquery')} is not allowed: use @partition, or write the value.")
        elif isinstance(node, UNREADABLE) and not is_own_part(node, statement.tree):
            raise Refusal(f"line {line}: a part of this statement cannot be judged: write it more plainly.")
        elif isinstance(node, (exp.From, exp.Join)) and not isinstance(node.this, SOURCES):
            raise Refusal(f"line {line}: a fix reads tables, subqueries and unnest(…) only: {node.this.sql('bigquery')[:60]}.")
        elif isinstance(node, exp.TableAlias) and "." in node.name:
            raise Refusal(f"line {line}: the name {node.name} has a dot: choose one without.")
        elif isinstance(node, exp.Table):
            extra = next((key for key, value in node.args.items() if value and key not in TABLE_CLAUSES), None)
            if extra is None and node.args.get("alias") and node.args["alias"].columns:
                extra = "a list of columns"
            if extra is not None:
                raise Refusal(f"line {line}: {extra.upper()} is not allowed at {node.name}: leave it out.")


def is_own_part(node: exp.Expression, tree: exp.Expression) -> bool:
    """Queries count as DML by name; MERGE has INSERT and UPDATE in its clauses."""
    return node is tree or isinstance(node, exp.Query) or (isinstance(tree, exp.Merge) and isinstance(node.parent, exp.When))


def target_of(statement: Statement) -> exp.Table:
    node = statement.tree.this
    if isinstance(node, exp.Schema) and isinstance(statement.tree, (exp.Create, exp.Insert)):
        node = node.this
    plain = isinstance(node, exp.Table) and not any(node.args.get(key) for key in ("joins", "pivots", "sample", "version"))
    if not plain:
        raise Refusal(f"line {statement.line}: this changes no plain table: name one table.")
    return node


def bound_by(tree: exp.Expression, changed: exp.Table, partition: Partition) -> set[str]:
    target = Target(changed.alias_or_name.lower(), other_names(tree, changed))
    if not isinstance(tree, exp.Merge):
        where = tree.args.get("where")
        return bound_columns(where and where.this, target, partition)
    joined = bound_columns(tree.args.get("on"), target, partition)
    ways = []
    for when in tree.args["whens"].expressions:
        own = bound_columns(when.args.get("condition"), target, partition)
        if when.args.get("matched"):
            ways.append(joined | own)
        elif when.args.get("source"):
            ways.append(own)
    return set.intersection(*ways) if ways else joined


def other_names(tree: exp.Expression, changed: exp.Table) -> frozenset[str]:
    """What a name in the condition could mean other than the target and its columns."""
    found = set()
    for source in (tree.args.get("using"), tree.args.get("from_")):
        if not source:
            continue
        found.add("")  # A source without a name.
        for node in source.walk():
            if isinstance(node, exp.TableAlias):
                found |= {node.name.lower(), *(column.name.lower() for column in node.columns)}
            elif isinstance(node, exp.Table) and not node.alias:
                found.add(node.name.lower())
            elif isinstance(node, exp.Unnest) and isinstance(node.args.get("offset"), exp.Identifier):
                found.add(node.args["offset"].name.lower())
    return frozenset(found)


def where_to_add(tree: exp.Expression) -> str:
    if not isinstance(tree, exp.Merge):
        return "to its WHERE"
    by_source = any(when.args.get("source") for when in tree.args["whens"].expressions)
    return "to WHEN NOT MATCHED BY SOURCE and to ON" if by_source else "to its ON"


def refuse_create(statement: Statement, table: str, creates: list[str]) -> None:
    tree, line = statement.tree, statement.line
    _, short = table.split(".", 1)
    if not any(word in short.split(".")[1].lower() for word in KEEPS_ASIDE) and short not in creates:
        raise Refusal(
            f"line {line}: a fix may not create {short}: put quarantine or backup into its name, or add it to fixes.creates."
        )
    if not tree.args.get("exists"):
        raise Refusal(f"line {line}: write CREATE TABLE IF NOT EXISTS, so that the fix can run twice.")
    if tree.expression and not isinstance(tree.expression, exp.Query):
        raise Refusal(f"line {line}: CREATE TABLE takes columns, AS SELECT, or LIKE: write one of these.")
    properties = tree.args.get("properties")
    for each in properties.expressions if properties else []:
        if isinstance(each, (exp.PartitionedByProperty, exp.Cluster, exp.ClusterProperty, exp.LikeProperty)):
            continue
        if type(each) is exp.Property and each.name.lower() in TABLE_OPTIONS:
            continue
        raise Refusal(f"line {line}: {each.sql('bigquery')[:60]} is not allowed in CREATE TABLE: leave it out.")


def told_of_create(tree: exp.Create, names: list[str], tables: list[TableName]) -> dict[str, Any]:
    columns = tree.this.expressions if isinstance(tree.this, exp.Schema) else []
    properties = tree.args["properties"].expressions if tree.args.get("properties") else []
    partitioned = next((each for each in properties if isinstance(each, exp.PartitionedByProperty)), None)
    like = next((each.this for each in properties if isinstance(each, exp.LikeProperty)), None)
    by_day = partitioned is not None and not partitioned.find(exp.RangeBucket)
    column = partitioned.find(exp.Column) or partitioned.find(exp.Identifier) if by_day else None
    return {
        "columns": [
            {"name": each.name, "type": each.args["kind"].sql("bigquery")}
            for each in columns
            if isinstance(each, exp.ColumnDef) and each.args.get("kind")
        ],
        "partitionColumn": column.name if column is not None else None,
        "like": next((name for name, table in zip(names, tables) if table.node is like), None),
    }


def assigned(tree: exp.Expression, changed: exp.Table) -> list[str]:
    if isinstance(tree, exp.Insert):
        return [each.name.lower() for each in tree.this.expressions] if isinstance(tree.this, exp.Schema) else []
    sets = []
    if isinstance(tree, exp.Update):
        sets = tree.expressions
    elif isinstance(tree, exp.Merge):
        thens = [when.args["then"] for when in tree.args["whens"].expressions]
        sets = [each for then in thens if isinstance(then, exp.Update) for each in then.expressions]
    return sorted({name for each in sets for name in assigned_names(each, changed.alias_or_name.lower())})


def assigned_names(each: exp.Expression, target: str) -> list[str]:
    """The column at the left of a SET, without the table's name before it and the fields of a struct behind it."""
    column = each.this if isinstance(each, exp.EQ) else None
    while isinstance(column, exp.Dot):
        column = column.this
    if not isinstance(column, exp.Column):
        raise Refusal("A SET of UPDATE has no plain column on its left: write column = value.")
    names = [part.name.lower() for part in column.parts]
    return names[: 2 if names[0] == target else 1]
