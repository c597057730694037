"""What Shopify and Gadget tell of the shops: installs and charges, and every change of a shop and its owner."""

import hashlib
import json
import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from .mess import JUNK_EMAILS, JUNK_PHONES, messy_email, messy_phone
from .moments import moment_of, written
from .tables import Row
from .world import PLANS, Shop, World

_APP = {"id": "gid://partners/App/4201", "name": "Lantern Reviews"}
_SUBSCRIPTIONS = (("Starter", "29.00"), ("Growth", "79.00"), ("Scale", "199.00"))
_EXTRAS = (("Review import", "49.00"), ("Theme setup", "120.00"))


def shopify_events(rng: random.Random, day: date, world: World) -> Iterator[tuple[datetime, Row]]:
    """Yield the day's app events: at most one for each shop, but two or three on the day that it comes."""
    for shop in world.shops:
        if shop.created_at.date() > day:
            continue
        if shop.created_at.date() == day:
            yield from _install(rng, shop, shop.created_at)
            continue
        at = moment_of(rng, day)
        chance = rng.random()
        if not shop.installed:
            if chance < 0.08:
                yield from _install(rng, shop, at)
        elif chance < 0.015:
            shop.installed = shop.subscribed = False
            yield _event(shop, "RELATIONSHIP_UNINSTALLED", at)
        elif chance < 0.025:
            yield _charge(rng, shop, "ONE_TIME_CHARGE_ACCEPTED", at)
        elif chance < 0.045 or (not shop.subscribed and chance < 0.12):
            shop.subscribed = True
            yield _charge(rng, shop, "SUBSCRIPTION_CHARGE_ACCEPTED", at)


def gadget_changes(rng: random.Random, day: date, world: World) -> Iterator[tuple[datetime, Row]]:
    """Yield a row for each shop that came or changed on the day, and change the shop accordingly."""
    for shop in world.shops:
        if shop.created_at.date() == day:
            yield _shop_row(rng, shop, "shop_created", shop.created_at + timedelta(seconds=rng.randint(2, 40)))
        elif shop.created_at.date() < day and rng.random() < 0.04:
            _change(rng, shop, world)
            yield _shop_row(rng, shop, "shop_updated", moment_of(rng, day))


def _install(rng: random.Random, shop: Shop, at: datetime) -> Iterator[tuple[datetime, Row]]:
    shop.installed = True
    yield _event(shop, "RELATIONSHIP_INSTALLED", at)
    if rng.random() < 0.6:
        shop.subscribed = True
        yield _charge(rng, shop, "SUBSCRIPTION_CHARGE_ACCEPTED", at + timedelta(seconds=rng.randint(60, 3000)))


def _charge(rng: random.Random, shop: Shop, kind: str, at: datetime) -> tuple[datetime, Row]:
    one_time = kind == "ONE_TIME_CHARGE_ACCEPTED"
    name, amount = rng.choice(_EXTRAS if one_time else _SUBSCRIPTIONS)
    number = rng.randrange(10**9, 10**10)
    return _event(
        shop,
        kind,
        at,
        charge={
            "id": f"gid://partners/{'AppPurchaseOneTime' if one_time else 'AppSubscription'}/{number}",
            "name": name,
            "amount": {"amount": amount, "currencyCode": "USD"},
        },
    )


def _event(shop: Shop, kind: str, at: datetime, **more: Row) -> tuple[datetime, Row]:
    told = {"id": f"gid://partners/Shop/{shop.shop_id}", "name": shop.name, "myshopifyDomain": shop.myshopify_domain}
    payload = json.dumps({"type": kind, "occurredAt": written(at), "app": _APP, "shop": told, **more})
    # The Partner API gives its events no id, so whoever fetches them makes one from what they say.
    return at, {"id": hashlib.sha256(payload.encode()).hexdigest()[:32], "payload": payload}


def _change(rng: random.Random, shop: Shop, world: World) -> None:
    kind = rng.random()
    if kind < 0.4:
        shop.owner_email = rng.choice(shop.team[0].emails)
    elif kind < 0.55:
        shop.hand_over(rng.choice(world.takers(shop)))
    else:
        shop.plan = rng.choice(PLANS)


def _shop_row(rng: random.Random, shop: Shop, event_name: str, at: datetime) -> tuple[datetime, Row]:
    owner = shop.team[0]
    # A young shop may not have a domain of its own yet.
    young = event_name == "shop_created" and rng.random() < 0.3
    return at, {
        "id": f"gs-{shop.shop_id}-{at:%Y%m%d%H%M%S}",
        "shop_id": shop.shop_id,
        "shop_name": shop.name,
        "domain": shop.myshopify_domain if young else shop.domain,
        "plan": shop.plan,
        "country": shop.country,
        "shop_owner_name": owner.name,
        "shop_owner_email": _owner_email(rng, shop.owner_email),
        "shop_owner_phone": _owner_phone(rng, owner.phones),
        "event_name": event_name,
        "occurred_at": written(at),
    }


def _owner_email(rng: random.Random, email: str) -> str | None:
    chance = rng.random()
    if chance < 0.06:
        return None
    return rng.choice(JUNK_EMAILS) if chance < 0.1 else messy_email(rng, email)


def _owner_phone(rng: random.Random, phones: tuple[str, ...]) -> str | None:
    if not phones or rng.random() < 0.3:
        return rng.choice((None, None, *JUNK_PHONES)) if rng.random() < 0.3 else None
    return messy_phone(rng, rng.choice(phones))
