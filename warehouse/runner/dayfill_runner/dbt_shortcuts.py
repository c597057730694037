"""What dbt and its client of BigQuery do again and again and need not, in a process that builds day by day.

None of it changes what is built, told or kept. Each shortcut stands in for code that is known by its hash: where that has
changed with a version, dbt goes its own way, and test/stack/warm.test.ts tells.
"""

import functools
import hashlib
import inspect
import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

Shortcut = Callable[[], None]


class Changed(Exception):
    """The code that a shortcut stands in for is another one; the message names it."""


def take(shortcuts: Iterable[Shortcut]) -> list[str]:
    """Put them in place; returns what keeps some of them from it."""
    problems = []
    for shortcut in shortcuts:
        try:
            shortcut()
        except (Changed, ImportError, AttributeError) as error:
            problems.append(f"{shortcut.__name__}: {error}")
    return problems


def _known(code: Any, digest: str) -> Any:
    """Return the function or class. Raises Changed when its text has another hash."""
    found = hashlib.sha256(inspect.getsource(code).encode()).hexdigest()[:12]
    if found != digest:
        raise Changed(f"{code.__module__}.{code.__qualname__} is {found}")
    return code


def reuse_parsed_jinja() -> None:
    """Let dbt keep what it makes of a text of Jinja, by that text: most of a parse goes into dbt's own macros, which never change."""
    # Made for dbt's own tests, which parse many projects in one process.
    from dbt_common.tests import enable_test_caching

    enable_test_caching()


def log_without_looking() -> None:
    """Let dbt write its log without asking the disk for each line whether it is a file that has grown too long: half of dbt's own
    time in a build. A folder of an attempt has one log, which ends with it."""
    from dbt_common.events import logger

    class OneFile(logger.RotatingFileHandler):
        def shouldRollover(self, record: Any) -> bool:  # noqa: N802
            return False

    logger.RotatingFileHandler = OneFile


def write_what_is_heard() -> None:
    """Let dbt make no line of JSON of what is below the level of a log: it makes all of them, and then drops most."""
    from dbt_common.events import logger

    write_line = _known(logger._Logger.write_line, "1ce27e38a9ea")
    levels = {level.value: number for level, number in logger._log_level_map.items()}

    def write_line_if_heard(self: Any, msg: Any) -> None:
        level = "error" if logger._is_print_event(msg) else msg.info.level
        if self._python_logger is None or self._python_logger.isEnabledFor(levels.get(level, 50)):
            write_line(self, msg)

    logger._Logger.write_line = write_line_if_heard


def fill_in_events_directly() -> None:
    """Let dbt say when, where and by whom an event was told without making a text of each and reading that again."""
    from dbt_common.events import base_types, event_manager

    _known(base_types.msg_from_base_event, "e70ceb670833")

    def message_of(event: Any, level: Any = None) -> Any:
        name = type(event).__name__
        message = getattr(event.PROTO_TYPES_MODULE, f"{name}Msg")()
        info = message.info
        info.level = (level or event.level_tag()).value
        info.msg = event.message()
        info.invocation_id = base_types.get_invocation_id()
        info.extra.update(base_types.get_global_metadata_vars())
        info.ts.FromMicroseconds(time.time_ns() // 1000)
        info.pid = base_types.get_pid()
        info.thread = base_types.get_thread_name()
        info.code = event.code()
        info.name = name
        message.data.CopyFrom(event.pb_msg)
        return message

    event_manager.msg_from_base_event = message_of


def compile_jinja_once() -> None:
    """Keep the code that Jinja makes of a text: models and tests have the same texts in each build."""
    from dbt_common.clients import jinja
    from jinja2 import Environment

    _known(jinja.get_environment, "090f7890a742")
    compile_text = _known(Environment.compile, "634cba867b25")
    kept: dict[tuple[Any, ...], Any] = {}

    def compile_once(self: Any, source: Any, name: Any = None, filename: Any = None, raw: bool = False, defer_init: bool = False) -> Any:
        if name is not None or filename is not None or raw or defer_init or not isinstance(source, str):
            return compile_text(self, source, name, filename, raw, defer_init)
        key = (type(self), *sorted(self.extensions), source)
        if key not in kept:
            if len(kept) >= 10_000:
                kept.clear()
            kept[key] = compile_text(self, source)
        return kept[key]

    jinja.MacroFuzzEnvironment.compile = compile_once


# More than a test or a macro asks for; what is beyond comes page by page.
_ROWS = 1000


def fetch_rows_with_the_result() -> None:
    """Ask BigQuery for a statement's rows together with whether it is done, and not for their number once more: that is known
    then. Two requests less for each test."""
    from google.cloud.bigquery import Client, Table, TableReference
    from google.cloud.bigquery.job import QueryJob
    from google.cloud.bigquery.table import RowIterator

    wait = _known(QueryJob.result, "85526f0ea46c")
    get_table = Client.get_table
    latest = threading.local()

    def result(self: Any, page_size: Any = None, max_results: Any = None, **more: Any) -> Any:
        latest.table, latest.rows = None, None
        if page_size is None and max_results is None and more.get("start_index") is None:
            page_size = _ROWS
        rows = wait(self, page_size=page_size, max_results=max_results, **more)
        table = self.destination
        # An anonymous table holds the result and nothing else.
        if isinstance(rows, RowIterator) and self.statement_type == "SELECT" and table is not None and table.dataset_id.startswith("_"):
            latest.table, latest.rows = table, rows.total_rows
        return rows

    def get_known_table(self: Any, table: Any, *args: Any, **more: Any) -> Any:
        if isinstance(table, TableReference) and table == getattr(latest, "table", None) and latest.rows is not None:
            return Table.from_api_repr({"tableReference": table.to_api_repr(), "numRows": str(latest.rows)})
        return get_table(self, table, *args, **more)

    QueryJob.result = result
    Client.get_table = get_known_table


def share_the_plan_of_macros() -> None:
    """Sort the macros of a project by who may name them once for a manifest, rather than for each context that a text of Jinja is
    rendered in: there are two for each model and test, of hundreds of macros each."""
    from dbt.clients.jinja import MacroGenerator
    from dbt.context.macros import GLOBAL_PROJECT_NAME, MacroNamespace, MacroNamespaceBuilder
    from dbt.context.manifest import ManifestContext

    build = _known(MacroNamespaceBuilder, "176417cd59b2").build_namespace
    _known(MacroNamespace, "2f1043ea8b9a")
    _known(MacroGenerator, "115f84d47013")
    to_dict = _known(ManifestContext.to_dict, "00d3869f4f6f")
    names_before = ManifestContext.__mro__[1].to_dict
    # Of the latest manifest; its macros by package are one object as long as it is there.
    plans: dict[tuple[Any, ...], MacroNamespace] = {}
    planned_for: list[Any] = [None]

    def plan(self: Any, macros_by_package: Any) -> MacroNamespace:
        key = (self.root_package, self.search_package, *self.internal_package_names_order, *map(len, macros_by_package.values()))
        if planned_for[0] is not macros_by_package:
            plans.clear()
            planned_for[0] = macros_by_package
        if key not in plans:
            plans[key] = build(self, macros_by_package, {})
        return plans[key]

    def build_as_planned(self: Any, macros_by_package: Any, ctx: Any) -> MacroNamespace:
        node, stack, new = self.node, self.thread_ctx, MacroGenerator.__new__

        def made(planned: Any) -> dict[str, Any]:
            namespace = {}
            for name, other in planned.items():
                namespace[name] = generator = new(MacroGenerator)
                generator.context, generator.macro, generator.node, generator.stack = ctx, other.macro, node, stack
            return namespace

        planned = plan(self, macros_by_package)
        packages = {package: made(macros) for package, macros in planned.packages.items()}
        own, root = packages.get(self.search_package, {}), packages.get(self.root_package, {})
        return MacroNamespace(
            global_namespace={name: root[name] for name in planned.global_namespace},
            local_namespace={name: own[name] for name in planned.local_namespace},
            global_project_namespace=made(planned.global_project_namespace),
            packages=packages,
        )

    def to_dict_in_order(self: Any) -> Any:
        namespace = self.namespace
        if type(namespace) is not MacroNamespace:
            return to_dict(self)
        names = names_before(self)
        # From the last that is searched to the first.
        names.update(namespace.global_project_namespace)
        names[GLOBAL_PROJECT_NAME] = namespace.global_project_namespace
        names.update(namespace.packages)
        names.update(namespace.global_namespace)
        names.update(namespace.local_namespace)
        return names

    MacroNamespaceBuilder.build_namespace = build_as_planned
    ManifestContext.to_dict = to_dict_in_order


def let_go_of_contexts() -> None:
    """Empty what a model or test was rendered with when it is done: each of hundreds of macros knows it and is known by it, which only
    the search for garbage would find out."""
    from dbt.context.base import BaseContext
    from dbt.context.manifest import ManifestContext
    from dbt.task.base import BaseRunner

    _known(BaseContext.to_dict, "cd2aae43e1bf")
    run_with_hooks = _known(BaseRunner.run_with_hooks, "dd051641c573")
    to_dict = ManifestContext.to_dict
    thread = threading.local()

    def to_noted_dict(self: Any) -> Any:
        names = to_dict(self)
        if getattr(thread, "made", None) is not None:
            thread.made.append(names)
        return names

    def run_and_let_go(self: Any, manifest: Any) -> Any:
        before, thread.made = getattr(thread, "made", None), []
        try:
            return run_with_hooks(self, manifest)
        finally:
            for names in thread.made:
                names.clear()
            thread.made = before

    ManifestContext.to_dict = to_noted_dict
    BaseRunner.run_with_hooks = run_and_let_go


def let_go_of_called_macros() -> None:
    """Leave a macro that is called out of the names that it can use: nothing looks for it there, and it would be garbage that only the
    search for it finds out."""
    from dbt_common.clients import jinja

    _known(jinja.BaseMacroGenerator.get_macro, "a707ffb512b3")

    def get_macro(self: Any) -> Any:
        name = jinja.get_dbt_macro_name(self.get_name())
        template = self.get_template()
        context = template.new_context(self.context)
        for _ in template.root_render_func(context):
            pass
        context.exported_vars.discard(name)
        return context.vars.pop(name)

    jinja.BaseMacroGenerator.get_macro = get_macro


def describe_in_plain_words() -> None:
    """Make no context for the description of a macro that has nothing to render in it: a parse makes one for each of dbt's own."""
    from dbt.clients import jinja
    from dbt.contracts.graph.nodes import Macro
    from dbt.parser import manifest

    _known(manifest._process_docs_for_macro, "4e8159036fa4")
    _known(jinja.get_rendered, "e1be3ef293c7")
    context_of = manifest.generate_runtime_docs_context

    def context_to_render(config: Any, target: Any, *more: Any) -> Any:
        if isinstance(target, Macro):
            texts = (target.description, *(argument.description for argument in target.arguments))
            if all(isinstance(text, str) and not jinja._HAS_RENDER_CHARS_PAT.search(text) for text in texts):
                return {}
        return context_of(config, target, *more)

    manifest.generate_runtime_docs_context = context_to_render


def look_for_calls_in_one_environment() -> None:
    """Look for the macros that a text names in one environment of Jinja, rather than make one for each text only to parse it; and not
    even that where dbt keeps what it parsed from the text before, as it does with each macro."""
    from dbt.clients import jinja_static
    from dbt_common.clients import jinja

    _known(jinja_static.statically_extract_macro_calls, "d4c069dd420b")
    _known(jinja_static.statically_extract_has_name_this, "8e9c50b6a72b")
    _known(jinja_static.statically_parse_unrendered_config, "c9628ebc88c3")
    _known(jinja.parse, "7240a084cf10")
    get_environment = jinja_static.get_environment

    @functools.cache
    def one_environment(*arguments: Any, **more: Any) -> Any:
        environment = get_environment(*arguments, **more)
        parse = environment.parse
        environment.parse = lambda text: jinja._TESTING_PARSE_CACHE.get(text) or parse(text)
        return environment

    jinja_static.get_environment = one_environment


def share_modules() -> None:
    """Give all contexts the same `modules`, which are of Python and never change."""
    from dbt.context import base

    _known(base.get_context_modules, "47ae6de5d39e")
    base.get_context_modules = functools.cache(base.get_context_modules)


def write_defaults_once() -> None:
    """Make the JSON of a default once for all fields that have it: for each field of what it checks by a schema, dbt's library makes a
    class and code for it only to write that one value. A quarter of the first parse of a process."""
    from mashumaro.jsonschema import schema

    default_of = _known(schema._default, "0eb4e423e014")
    kept: dict[tuple[Any, ...], Any] = {}

    def default_once(of_type: Any, value: Any, config: Any) -> Any:
        key = (of_type, type(value), value, config)
        try:
            if key not in kept:
                kept[key] = default_of(of_type, value, config)
        except TypeError:  # a value that can be changed
            return default_of(of_type, value, config)
        return kept[key]

    schema._default = default_once


def find_callers_by_frames() -> None:
    """Let dbt find the module that a setting comes from by what a frame knows, without reading the source of every function on the way."""
    from dbt_common import behavior_flags

    rendered = behavior_flags.BehaviorFlagRendered
    _known(rendered._default_source, "29a653aaaebb")

    def default_source() -> str:
        frame = inspect.currentframe()
        while frame is not None:
            name = frame.f_globals.get("__name__")
            if name not in (None, behavior_flags.__name__, __name__):
                return name
            frame = frame.f_back
        return "Unknown"

    rendered._default_source = staticmethod(default_source)


def write_json_at_once() -> None:
    """Make the text of a file of JSON in one go: piece by piece it takes ten times as long."""
    from dbt.artifacts.schemas import base
    from dbt.artifacts.schemas.run.v5 import run
    from dbt_common.clients import system
    from dbt_common.utils import encoding

    _known(system.write_json, "158d4b8ce971")

    def write_json(path: str, data: dict[str, Any]) -> bool:
        return system.write_file(path, json.dumps(data, cls=encoding.JSONEncoder))

    for module in (system, base, run):
        module.write_json = write_json


def write_manifest_once() -> None:
    """Write manifest.json at the end of a build only: what is written at its beginning is replaced then."""
    from dbt.flags import get_flags
    from dbt.parser import manifest
    from dbt.task import runnable

    _known(manifest.parse_manifest, "cb07971068e3")
    _known(runnable.GraphRunnableTask.run, "0df80d480488")
    write = runnable.write_manifest

    def write_unless_building(*arguments: Any) -> None:
        if getattr(get_flags(), "WHICH", None) != "build":
            write(*arguments)

    manifest.write_manifest = write_unless_building


def write_manifest_of_failures() -> None:
    """Write manifest.json of a build that failed only, whose tests are explained by it: a build that is done leaves its results."""
    from dbt.task import runnable

    run = _known(runnable.GraphRunnableTask.run, "0df80d480488")
    write = runnable.write_manifest
    asked = threading.local()

    def run_and_write(self: Any) -> Any:
        asked.manifest = None
        result = run(self)
        if asked.manifest is not None and not self.interpret_results(result.results):
            write(*asked.manifest)
        return result

    def note(*arguments: Any) -> None:
        asked.manifest = arguments

    runnable.write_manifest = note
    runnable.GraphRunnableTask.run = run_and_write


# Those that hold in anybody's process, and those for folders that are looked at by dayfill only.
ANYWHERE = (
    reuse_parsed_jinja,
    log_without_looking,
    write_what_is_heard,
    fill_in_events_directly,
    compile_jinja_once,
    fetch_rows_with_the_result,
    share_the_plan_of_macros,
    let_go_of_contexts,
    let_go_of_called_macros,
    describe_in_plain_words,
    look_for_calls_in_one_environment,
    share_modules,
    write_defaults_once,
    find_callers_by_frames,
    write_json_at_once,
    write_manifest_once,
)
OF_OWN_BUILDS = (*ANYWHERE, write_manifest_of_failures)
