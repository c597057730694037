"""Run multi-statement scripts as BigQuery does.

| | stock | here |
| --- | --- | --- |
| BEGIN … COMMIT TRANSACTION | copies every changed table; a crash keeps half | a DuckDB transaction |
| ROLLBACK in an exception handler | keeps the changes | rolls back |
| a transaction left open at the end | committed | rolled back |
| DDL inside a transaction | allowed | refused |
| named parameters (`@partition`) | not bound | bound |
| `@@error.message` | syntax error | the message |
| EXECUTE IMMEDIATE of a DROP | the table stays listed | it is gone |
| an error's place | none | `at [line:column]` of the script |

One difference remains: an exception handler sees the data as before the transaction, and can roll
it back but not commit it, because DuckDB gives up a transaction in which a statement failed.
"""

import re
from contextvars import ContextVar
from typing import Any

import bqemulator.api.routes.jobs as job_routes
import bqemulator.jobs.executor as executor
import bqemulator.scripting.interpreter as interpreter
import sqlglot
from bqemulator.domain.errors import DomainError, InvalidQueryError
from bqemulator.scripting.ast import ExecuteImmediateStmt, SqlStmt, Statement
from bqemulator.scripting.exceptions import ReturnSignal, ScriptRaise
from bqemulator.scripting.frames import FrameStack
from bqemulator.scripting.interpreter import ScriptInterpreter, ScriptResult
from bqemulator.sql.parameters import _extract_value
from sqlglot import exp

from .error_messages import locate
from .job_runner import runner
from .repeats import parse_script

_ERROR_MESSAGE = re.compile(r"@@error\.message", re.IGNORECASE)
_LASTING_DDL = re.compile(
    r"(CREATE\s+(OR\s+REPLACE\s+)?(?!TEMP|OR\s)|ALTER\s|DROP\s+\w+\s+(IF\s+EXISTS\s+)?[^\s;]*\.)", re.IGNORECASE
)

# The query parameters of the script that this task runs.
_query_parameters: ContextVar[list[dict[str, Any]]] = ContextVar("query_parameters")


class _Interpreter(ScriptInterpreter):
    """Stock's interpreter with real transactions and located errors.

    `_active_txn` is None outside of a transaction. The overridden names are stock's, whose
    snapshots of tables they replace.
    """

    async def run(self, source: str) -> ScriptResult:
        self._source = source
        try:
            for statement in parse_script(source).statements:
                await self._exec_statement(statement)
        except ReturnSignal:
            pass
        except ScriptRaise as raised:
            raise raised.error from raised
        finally:
            if self._active_txn is not None:
                self._end_transaction("ROLLBACK")
            if self._temp_routines is not None:
                self._temp_routines.cleanup()
        return ScriptResult(final_table=self._final_table, statements_executed=self._statements_executed)

    async def _exec_statement(self, statement: Statement) -> None:
        runner.check_stopped()
        await super()._exec_statement(statement)

    async def _exec_sql_stmt(self, statement: SqlStmt) -> None:
        try:
            await super()._exec_sql_stmt(statement)
        except DomainError as error:
            raise locate(error, self._source, statement.sql) from error

    async def _exec_execute_immediate(self, statement: ExecuteImmediateStmt) -> None:
        if statement.into_names or statement.using_exprs:
            await super()._exec_execute_immediate(statement)
            return
        await self._exec_sql(str(await self._eval_expr_scalar(statement.sql_expr)))

    async def _handle_txn_statement(self, operation: str) -> None:
        if operation == "BEGIN":
            if self._active_txn is not None:
                raise InvalidQueryError("Transactions cannot be nested: this script is inside a transaction already.")
            self._ctx.engine.execute("BEGIN TRANSACTION")
            self._active_txn = {}
            self._gave_up = False
        elif self._active_txn is not None:
            self._end_transaction(operation)
        elif operation == "COMMIT" or not getattr(self, "_gave_up", False):
            raise InvalidQueryError(f"{operation} TRANSACTION: there is no transaction to end.")

    async def _snapshot_dml_targets(self, sql: str) -> None:
        """Called before each statement of a transaction."""
        if _LASTING_DDL.match(executor._strip_leading_sql_comments(sql)):
            raise InvalidQueryError("DDL inside a transaction is supported for temporary tables and functions only.")

    async def _drop_txn_snapshots(self) -> None:
        """Called when an exception handler takes over."""
        if self._active_txn is not None:
            self._end_transaction("ROLLBACK")
            self._gave_up = True

    def _end_transaction(self, operation: str) -> None:
        self._active_txn = None
        self._ctx.engine.execute(operation)

    def _rewrite_temp_calls(self, sql: str) -> str:
        return super()._rewrite_temp_calls(_ERROR_MESSAGE.sub("__error_message__", sql))


def _bind(sql: str, frames: FrameStack) -> tuple[str, list[Any]]:
    """Replace script variables and query parameters by numbered placeholders. Returns the SQL and their values."""
    variables = frames.all_visible()
    given = {parameter["name"].lower(): parameter for parameter in _query_parameters.get() if parameter.get("name")}
    if not variables and not given:
        return sql, []
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return sql, []  # the translator says what is wrong with it
    values: list[Any] = []
    for column in list(tree.find_all(exp.Column)):
        interpreter._rewrite_one_column(column, variables, values)
    for node in list(tree.find_all(exp.Parameter)):
        parameter = given.get(node.name.lower())
        if parameter is not None:
            type_name = parameter["parameterType"]["type"]
            node.replace(interpreter._build_scalar_placeholder(_extract_value(parameter), type_name, values))
    return (tree.sql("bigquery"), values) if values else (sql, [])


def _statement_type(sql: str, classify: Any) -> str:
    """`SCRIPT` for what the interpreter runs, else stock's classification."""
    try:
        statements = parse_script(sql).statements
    except DomainError:
        return classify(sql)
    single = len(statements) == 1 and isinstance(statements[0], SqlStmt)
    return classify(sql) if single else "SCRIPT"


def install() -> None:
    """Put the interpreter in place, hand it the query parameters, and never run a script for a dry run."""
    run_query_body = executor._run_query_body

    async def run_with_parameters(**options: Any) -> Any:
        token = _query_parameters.set(options["query_params"] or [])
        try:
            return await run_query_body(**options)
        finally:
            _query_parameters.reset(token)

    executor._run_query_body = run_with_parameters
    executor.ScriptInterpreter = interpreter.ScriptInterpreter = _Interpreter
    interpreter._rewrite_vars_to_params = _bind

    classify = job_routes.classify_statement_type
    job_routes.classify_statement_type = lambda sql: _statement_type(sql, classify)
    job_routes._DESTRUCTIVE_STATEMENT_TYPES |= {"SCRIPT"}
