"""Serve routes of ours in place of stock's, call stock's with a body that is already known, and answer without detours.

Stock hands every request through three layers that count and log it, each a task of its own, and through three threads to look up
what is in memory: more work than most answers are.
"""

import logging
from collections.abc import Callable
from typing import Any

import bqemulator.api.routes.tables as tables
import bqemulator.server as server
import fastapi.dependencies.utils as dependencies
from bqemulator.api.middleware import GzipRequestMiddleware
from fastapi import APIRouter, FastAPI

router = APIRouter(prefix="/bigquery/v2")


class KnownBody:
    """Stands in for a request: stock's handlers ask it for its JSON only."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    async def json(self) -> dict[str, Any]:
        """The body."""
        return self._body


def serve_first(*routers: APIRouter) -> None:
    """Let the routers' routes answer before stock's."""
    create_app = server.create_app

    def create_app_with_our_routes(context: Any) -> FastAPI:
        app = create_app(context)
        if not logging.getLogger("bqemulator.api.middleware").isEnabledFor(logging.INFO):
            app.user_middleware[:] = [each for each in app.user_middleware if each.cls is GzipRequestMiddleware]
        routes = app.router.routes
        stock_count = len(routes)
        for router in routers:
            app.include_router(router)
        routes[:] = routes[stock_count:] + routes[:stock_count]
        return app

    server.create_app = create_app_with_our_routes


@router.get("/projects/{project_id}/datasets/{dataset_id}/tables/{table_id}")
async def get_table(project_id: str, dataset_id: str, table_id: str, context: tables._Ctx) -> dict[str, Any]:
    """A table, or the rows of a query as one, on the server's thread: it is all in memory."""
    return tables.get_table(project_id, dataset_id, table_id, context)


async def _at_once(function: Callable[..., Any], **values: Any) -> Any:
    return function(**values)


def install() -> None:
    """Give handlers what they depend on, which is in memory, without a thread for each."""
    dependencies.run_in_threadpool = _at_once
