"""Who is who: the true person of each identifier that the delivered days show, to measure a resolution against."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from .tables import GADGET, GMAIL, MANUAL, SHOPIFY, Batch, Row
from .world import World

Identifier = tuple[str, str]


def make_truth(world: World, batches: dict[date, Batch]) -> dict[str, Any]:
    """Return the persons and shops behind the identifiers in `batches`; junk belongs to nobody and is left out."""
    persons: dict[Identifier, str] = {}
    for person in (*world.people, *world.staff):
        persons |= {("email", email): person.id for email in person.emails}
        persons |= {("phone", phone): person.id for phone in person.phones}
    shops: dict[Identifier, str] = {}
    for shop in world.shops:
        shops |= {("shop_id", shop.shop_id): shop.id, ("domain", shop.domain): shop.id, ("domain", shop.myshopify_domain): shop.id}
    seen = {_normal(*identifier) for batch in batches.values() for table, rows in batch.items() for row in rows for identifier in _identifiers(table, row)}
    seen_shops = _those(seen, shops)
    return {
        "first_day": min(batches).isoformat(),
        "last_day": max(batches).isoformat(),
        "persons": _those(seen, persons),
        "shops": seen_shops,
        "shop_owners": {shop.id: [owner.id for owner in shop.owners] for shop in world.shops if shop.id in seen_shops.values()},
    }


def _those(seen: Iterable[Identifier], owners: dict[Identifier, str]) -> dict[str, str]:
    return {":".join(identifier): owners[identifier] for identifier in sorted(seen) if identifier in owners}


def _identifiers(table: str, row: Row) -> Iterator[Identifier]:
    if table == SHOPIFY:
        shop = json.loads(row["payload"])["shop"]
        yield "shop_id", shop["id"].rpartition("/")[2]
        yield "domain", shop["myshopifyDomain"]
    elif table == GADGET:
        yield "shop_id", row["shop_id"]
        yield "domain", row["domain"]
        yield "email", row["shop_owner_email"] or ""
        yield "phone", row["shop_owner_phone"] or ""
    elif table == MANUAL:
        for entry in json.loads(row["persons"]) + json.loads(row["groups"]):
            for identifier in entry["identifiers"]:
                yield identifier["type"], identifier["value"]
    elif table == GMAIL:
        yield "email", row["from_email"]
        for recipient in json.loads(row["to_recipients"]):
            yield "email", recipient["email"]


def _normal(kind: str, value: str) -> Identifier:
    if kind == "phone":
        return kind, re.sub(r"\D", "", value)[-10:]
    value = value.strip().lower()
    if kind == "domain":
        value = value.removeprefix("https://").removeprefix("www.").rstrip("/")
    return kind, value
