"""What a run would do, before any of it is done: by dbt's flags, the manifest, and the compiled statements."""

import copy
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from dbt.adapters.factory import get_adapter
from dbt.clients.jinja import get_rendered
from dbt.context.providers import generate_runtime_model_context
from dbt.node_types import NodeType
from dbt.task.runnable import GraphRunnableTask
from dbt_common.exceptions import DbtBaseException

from dbt_protection.guard import Guard, Refused
from dbt_protection.requests import Judge

# Those that add to a table or leave it alone. A project's own materialisation is judged by what it sends.
REPLACING = {"table", "view", "materialized_view", "copy", "seed"}
READ_ONLY_COMMANDS = {"compile", "show", "list", "docs", "parse"}
DBT_PACKAGES = {"dbt", "dbt_bigquery"}
MAY_REPLACE = re.compile(
    r"\b(create|drop|truncate|alter|delete|merge|load|execute|call|run_query|statement|sql_header)\b"
    r"|adapter\s*\.\s*(drop|truncate|rename|copy|load|upload|execute)",
    re.IGNORECASE,
)
# What hooks at the end of a run find in their context.
OF_ON_RUN_END = {"schemas": [], "database_schemas": [], "results": []}

Compilation = tuple[str, Callable[[], str]]
"""What is compiled, and how."""


def full_name(node: Any) -> str:
    return f"{node.database}.{node.schema}.{node.alias}"


def look_ahead(guard: Guard, task: GraphRunnableTask, selected: Iterable[str]) -> None:
    """@raises Refused before dbt has begun."""
    if getattr(task.args, "WHICH", "") in READ_ONLY_COMMANDS:
        return
    nodes = [task.manifest.nodes[key] for key in sorted(selected) if key in task.manifest.nodes]
    relational = [node for node in nodes if node.is_relational and full_name(node) in guard.protected]
    if getattr(task.args, "FULL_REFRESH", False):
        # dbt makes no snapshot anew, whatever the flag says.
        for node in relational:
            if node.resource_type != NodeType.Snapshot:
                guard.refuse(full_name(node), "the flag full_refresh (--full-refresh or DBT_FULL_REFRESH)")
    for node in relational:
        if node.config.get("full_refresh"):
            guard.refuse(full_name(node), f"full_refresh: true in the config of {node.name}")
    adapter = get_adapter(task.config)
    with adapter.connection_named("protection"):
        for node in relational:
            materialized = node.config.get("materialized")
            if materialized in REPLACING and is_table(adapter, node):
                guard.refuse(full_name(node), f"the materialisation {materialized} of {node.name}")
        if guard.protected.any and adapter.type() == "bigquery":
            # As dbt does before it begins: otherwise each macro that asks for a table asks the warehouse.
            task.populate_adapter_cache(adapter)
            judge = Judge(guard, adapter.connections.get_thread_connection().handle)
            look_at_statements(guard, judge, statements(task, nodes))
    # What was looked up, or taken for dropped, meanwhile.
    adapter.cache.clear()


def is_table(adapter: Any, node: Any) -> bool:
    relation = adapter.get_relation(database=node.database, schema=node.schema, identifier=node.alias)
    return relation is not None and not relation.is_view


def look_at_statements(guard: Guard, judge: Judge, compilations: Iterable[Compilation]) -> None:
    """What cannot be compiled yet is judged as it runs."""
    try:
        for what, compiled in compilations:
            guard.looking_at = what
            with suppress(DbtBaseException):
                judge.judge_text(compiled())
            if guard.refusal is not None:
                raise Refused(guard.refusal)
    finally:
        guard.looking_at = None


def statements(task: GraphRunnableTask, nodes: list[Any]) -> Iterator[Compilation]:
    """Hooks, and the models whose macros could change something, each to be compiled."""
    manifest = task.manifest

    def compiled(node: Any, extra: dict[str, Any] | None = None) -> str:
        return task.compiler.compile_node(copy.deepcopy(node), manifest, extra or {}, write=False).compiled_code or ""

    for node in manifest.nodes.values():
        if node.resource_type == NodeType.Operation:
            yield f"the hook {node.name}", lambda node=node: compiled(node, OF_ON_RUN_END)
    for node in nodes:
        hooks = [*(node.config.get("pre_hook") or []), *(node.config.get("post_hook") or [])]
        for hook in hooks:
            yield (
                f"a hook of {node.name}",
                lambda node=node, hook=hook: get_rendered(
                    hook.sql, generate_runtime_model_context(node, task.config, manifest)
                ),
            )
        if node.resource_type in (NodeType.Model, NodeType.Snapshot) and may_replace(manifest, node):
            yield node.name, lambda node=node: f"{node.config.get('sql_header') or ''}\n{compiled(node)}"


def may_replace(manifest: Any, node: Any) -> bool:
    """Whether the node, or a macro of the project that it uses, has a word in it that can change something."""
    if node.language == "python":
        return False
    texts = [node.raw_code, str(node.config.get("sql_header") or "")]
    todo, seen = list(node.depends_on.macros), set()
    while todo:
        macro = manifest.macros.get(todo.pop())
        if macro is None or macro.unique_id in seen or macro.package_name in DBT_PACKAGES:
            continue
        seen.add(macro.unique_id)
        texts.append(macro.macro_sql)
        todo.extend(macro.depends_on.macros)
    return any(MAY_REPLACE.search(text) for text in texts)
