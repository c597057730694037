"""Judges every request that leaves for BigQuery: its statements, and calls that replace a table without one."""

import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from dbt_common.events.contextvars import get_node_info
from google.api_core.exceptions import NotFound
from google.cloud.bigquery import Client

from dbt_protection.guard import Guard, NotYet, Refused

READS = ("SELECT", "WITH", "(", "FROM")


def judge_request(guard: Guard, client: Client, method: str, path: str, body: dict[str, Any] | None) -> None:
    """@raises Refused; NotYet for what would change something while it is only looked at."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if method == "GET" or parts[-1] == "cancel":
        return
    judge = Judge(guard, client)
    if method == "DELETE":
        judge.judge_delete(parts)
    elif parts[-1:] == ["jobs"]:
        judge.judge_job((body or {}).get("configuration", {}))
    elif parts[-1:] == ["queries"]:
        judge.judge_text((body or {}).get("query", ""))
    elif method in ("PUT", "PATCH") and "tables" in parts and (body or {}).get("expirationTime"):
        judge.judge_name((parts[1], parts[3], parts[5]), "an expiration time")
    if not is_query(body):
        guard.stop_after_refusal()
        if guard.looking_at is not None:
            raise NotYet


def is_query(body: dict[str, Any] | None) -> bool:
    """Whether it reads only: by the first word, which in BigQuery tells."""
    configuration = (body or {}).get("configuration", {})
    query = configuration.get("query", {})
    if configuration.get("dryRun"):
        return True
    text = without_comments(query["query"] if "query" in query else (body or {}).get("query", ""))
    return text.upper().startswith(READS) and "destinationTable" not in query and ";" not in text.rstrip("; \n\t")


def without_comments(text: str) -> str:
    text = text.lstrip()
    while text.startswith(("--", "#", "/*")):
        end = text.find("*/") + 1 if text.startswith("/*") else text.find("\n")
        text = "" if end < 1 else text[end + 1 :].lstrip()
    return text


class Judge:
    def __init__(self, guard: Guard, client: Client) -> None:
        self.guard = guard
        self.client = client

    def judge_delete(self, parts: list[str]) -> None:
        if len(parts) == 6 and parts[4] == "tables":
            self.judge_name((parts[1], parts[3], parts[5]), "dropping it")
        elif len(parts) == 4 and parts[2] == "datasets":
            self.judge_dataset((parts[1], parts[3]), "dropping its dataset")

    def judge_job(self, configuration: dict[str, Any]) -> None:
        if "query" in configuration:
            self.judge_text(configuration["query"].get("query", ""))
        for kind in ("query", "load", "copy"):
            job = configuration.get(kind, {})
            table = job.get("destinationTable")
            if table and job.get("writeDisposition") == "WRITE_TRUNCATE" and "$" not in table["tableId"]:
                name = (table["projectId"], table["datasetId"], table["tableId"])
                self.judge_name(name, f"a {kind} job with WRITE_TRUNCATE")

    def judge_text(self, text: str, depth: int = 0) -> None:
        if not self.guard.protected.any:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Of packages beside sqlglot that it no longer takes.
                from dbt_protection.statements import DEEPEST, Refusal, Replacement, replacements
        except ImportError:
            raise Refused("Tables cannot be protected without sqlglot: add it to the Python environment of the step.") from None
        try:
            found = replacements(text)
        except (Refusal, RecursionError) as error:
            found = (Replacement(f"a statement that cannot be read ({str(error).rstrip('.') or 'it nests too deep'})"),)
        for each in found:
            if each.is_call:
                if depth >= DEEPEST:
                    self.refuse_unknown(text, each.way)
                for body in self.procedure(each.name):
                    self.judge_text(body, depth + 1)
            elif not each.name:
                self.refuse_unknown(text, each.way)
            elif each.is_dataset:
                self.judge_dataset(each.name, each.way)
            else:
                self.judge_name(each.name, each.way)

    def procedure(self, name: tuple[str, ...]) -> Iterator[str]:
        try:
            routine = self.client.get_routine(".".join([self.client.project, *name][-3:]))
        except (NotFound, ValueError):
            return
        if routine.language not in (None, "SQL"):
            self.refuse_unknown("", f"CALL {'.'.join(name)}, whose {routine.language} cannot be read,")
        yield routine.body or ""

    def judge_name(self, name: tuple[str, ...], way: str) -> None:
        """@param name one to three parts; of a table without a dataset it is not known which one it is."""
        protected = self.guard.protected
        if len(name) == 1:
            found = protected.named(name[0])
            if found is not None:
                self.refuse(found, way)
            return
        full = protected.as_built(".".join([self.client.project, *name][-3:]))
        if full in protected and self.exists(full):
            self.refuse(full, way)

    def judge_dataset(self, name: tuple[str, ...], way: str) -> None:
        project, dataset = [self.client.project, *name][-2:]
        try:
            tables = list(self.client.list_tables(f"{project}.{dataset}"))
        except NotFound:
            return
        for table in tables:
            full = f"{project}.{dataset}.{table.table_id}"
            if table.table_type == "TABLE" and full in self.guard.protected:
                self.refuse(full, way)

    def exists(self, full: str) -> bool:
        """A view keeps no rows that could be lost."""
        try:
            return self.client.get_table(full).table_type not in ("VIEW", "MATERIALIZED_VIEW")
        except NotFound:
            return False

    def refuse_unknown(self, text: str, way: str) -> None:
        """What is not known could be any of them: the one that the text names, or else the first."""
        protected = self.guard.protected
        names = sorted(protected.all_named) or [pattern for pattern in protected.patterns if not pattern.startswith("!")]
        named = next((name for name in names if name.lower().split(".")[-1] in text.lower()), None)
        if names:
            self.refuse(named or names[0], way)

    def refuse(self, full: str, way: str) -> None:
        where = self.guard.looking_at or get_node_info().get("node_name")
        self.guard.refuse(full, f"{way} in {where}" if where else way)
