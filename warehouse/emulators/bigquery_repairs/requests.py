"""Serve routes of ours in place of stock's, and call stock's with a body that is already known."""

from typing import Any

import bqemulator.server as server
from fastapi import APIRouter, FastAPI


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
        routes = app.router.routes
        stock_count = len(routes)
        for router in routers:
            app.include_router(router)
        routes[:] = routes[stock_count:] + routes[:stock_count]
        return app

    server.create_app = create_app_with_our_routes
