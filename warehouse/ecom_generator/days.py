"""One day of the shop: which carts, orders and returns there are, and their rows. A day follows from the settings and its date alone.

A cart's place is its number within the day, from 0; an item's place is its cart's times 64 plus its line number. Orders and returns have
the place of their cart, so that what comes back weeks later can be made again without the rows of the day it was bought.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa

from . import csv_text
from .draws import Places, below, chosen, happens, stream
from .lookups import Lookups
from .mess import Mess
from .settings import Settings
from .tables import CART_STATUSES, CARTS, CHANNELS, ORDERS, PAYMENT_METHODS, REFUND_METHODS, RETURN_REASONS, SHIPPING_SPEEDS, TRANSACTIONS

_LINES = np.uint64(64)
_DAY_SECONDS = 86_400
_DISCOUNTS = (0, 5, 10, 15)
_SHIPPING_CENTS = np.array((499, 1299, 2499))


@dataclass(frozen=True)
class Shop:
    """What all days follow from."""

    settings: Settings
    lookups: Lookups

    @cached_property
    def mess(self) -> dict[str, Mess]:
        """The mess of each table."""
        return {table.name: Mess(self.settings.seed, table, self.settings.messiness_level) for table in TRANSACTIONS}


@dataclass(frozen=True)
class Items:
    """The items of some carts, cart by cart: to which of these carts each belongs, and what it is; money in cents."""

    cart: np.ndarray
    place: Places
    line: np.ndarray
    product: np.ndarray
    quantity: np.ndarray
    price: np.ndarray

    def total(self, amounts: np.ndarray, carts: int) -> np.ndarray:
        """Return the sum of the items' int64 amounts for each of the carts."""
        # Not bincount, which counts in floats.
        return np.add.reduceat(amounts, np.flatnonzero(self.line == 1)) if carts else np.zeros(0, np.int64)


@dataclass(frozen=True)
class ReturnsFrom:
    """Which orders of a day come back: their places, their numbers among the day's orders, and after how many days."""

    place: Places
    order: np.ndarray
    lag: np.ndarray


class Day:
    """One day. Counts cost little; rows are made when they are asked for."""

    def __init__(self, shop: Shop, day: date) -> None:
        self.day = day
        self._shop = shop
        self._settings = shop.settings
        self._volumes = shop.settings.volumes

    def _stream(self, *names: str) -> np.uint64:
        return stream(self._settings.seed, self.day, *names)

    @cached_property
    def carts(self) -> int:
        """How many carts there are: within 10 percent of the volume."""
        usual = int(self._volumes.carts_per_day * self._settings.scale)
        spread = usual // 10
        extra = int(below(self._stream("carts"), np.zeros(1, np.uint64), 2 * spread + 1)[0])
        return max(1, usual - spread + extra)

    @cached_property
    def _cart_places(self) -> Places:
        return np.arange(self.carts, dtype=np.uint64)

    @cached_property
    def order_places(self) -> Places:
        """The carts that became orders. Those whose row is lost did not, so that an order's cart is always there."""
        ordered = happens(self._stream("ordered"), self._cart_places, self._volumes.order_percent)
        candidates = self._cart_places[ordered]
        return candidates[~self._shop.mess[CARTS.name].spoils(self.day, candidates)]

    @cached_property
    def returns(self) -> ReturnsFrom:
        """The orders that come back. Those whose row is lost do not, so that a return's order is always there."""
        comes_back = happens(self._stream("returned"), self.order_places, self._volumes.return_percent)
        comes_back &= ~self._shop.mess[ORDERS.name].spoils(self.day, self.order_places)
        places = self.order_places[comes_back]
        lag = 1 + below(self._stream("return lag"), places, self._volumes.return_window)
        return ReturnsFrom(places, np.flatnonzero(comes_back), lag)

    def returned_on(self, day: date) -> np.ndarray:
        """Return the indexes into `returns` of what comes back on that day."""
        return np.flatnonzero(self.returns.lag == (day - self.day).days)

    def customers(self, places: Places) -> np.ndarray:
        """Return the customer of each cart, one who has signed up by this day."""
        return 1 + below(self._stream("customer"), places, self._shop.lookups.customers_by(self.day))

    def _created(self, places: Places) -> np.ndarray:
        """Return when each cart was made, as seconds of the day; in the order of the places."""
        offsets = below(self._stream("second"), places, _DAY_SECONDS)
        return (places.astype(np.int64) * _DAY_SECONDS + offsets) // self.carts

    def _seconds(self, seconds_of_day: np.ndarray) -> np.ndarray:
        """Return seconds since 1970, on this day to its last second."""
        midnight = (self.day - date(1970, 1, 1)).days * _DAY_SECONDS
        return midnight + np.minimum(seconds_of_day, _DAY_SECONDS - 1)

    def items(self, places: Places) -> Items:
        """Return the items of these carts."""
        per_cart = 1 + below(self._stream("items"), places, self._volumes.max_items_per_cart)
        cart = np.repeat(np.arange(len(places)), per_cart)
        line = 1 + np.arange(len(cart)) - np.repeat(np.cumsum(per_cart) - per_cart, per_cart)
        place = places[cart] * _LINES + line.astype(np.uint64)
        product = below(self._stream("product"), place, len(self._shop.lookups.prices))
        quantity = 1 + below(self._stream("quantity"), place, 3)
        return Items(cart, place, line, product + 1, quantity, self._shop.lookups.prices[product])

    def discounts(self, places: Places) -> np.ndarray:
        """Return the percent off of each order."""
        return np.array(_DISCOUNTS)[chosen(self._stream("discount"), places, [6, 2, 1, 1])]

    def _words(self, name: str, places: Places, words: tuple[str, ...]) -> pa.StringArray:
        return csv_text.words(below(self._stream(name), places, len(words)), words)

    def _messy(self, table: str, places: Places, columns: list[pa.StringArray], counts: Counter[str]) -> memoryview:
        return csv_text.encoded(self._shop.mess[table].apply(self.day, places, csv_text.lines(columns), counts))

    def rows(self, first_cart_id: int, first_order_id: int, mess: dict[str, Counter[str]]) -> dict[str, memoryview]:
        """Return the day's carts, orders and their items as CSV lines, and count the mess by table.

        The ids are those of the day's first cart and order.
        """
        places, counts = self._cart_places, mess
        items = self.items(places)
        cart_ids = first_cart_id + np.arange(self.carts)
        customers = csv_text.integers(self.customers(places))
        created = self._created(places)
        updated = created + below(self._stream("updated"), places, 7200)
        ordered = np.isin(places, self.order_places)
        status = np.where(ordered, 0, 1 + below(self._stream("status"), places, 2))
        item_created = self._seconds(np.repeat(created, np.bincount(items.cart)) + 30 * items.line)
        channels = self._words("channel", places, CHANNELS)
        amounts = items.quantity * items.price
        carts = [
            csv_text.integers(cart_ids),
            customers,
            csv_text.timestamps(self._seconds(created)),
            csv_text.timestamps(self._seconds(updated)),
            csv_text.words(status, CART_STATUSES),
            channels,
            csv_text.money(items.total(amounts, self.carts)),
        ]
        prices = csv_text.money(items.price)
        item_columns = {
            "line_number": csv_text.integers(items.line),
            "product_id": csv_text.integers(items.product),
            "quantity": csv_text.integers(items.quantity),
        }
        cart_items = [
            csv_text.integers(cart_ids[items.cart]),
            item_columns["line_number"],
            item_columns["product_id"],
            csv_text.timestamps(item_created),
            item_columns["quantity"],
            prices,
        ]
        placed = np.flatnonzero(ordered)
        bought = np.flatnonzero(ordered[items.cart])
        order_places, take = places[placed], pa.array(placed)
        order_ids = first_order_id + np.arange(len(placed))
        order_of_cart = np.cumsum(ordered) - 1
        discount = self.discounts(places)
        item_discounts = amounts * discount[items.cart] // 100
        gross = items.total(amounts, self.carts)[placed]
        discounts = items.total(item_discounts, self.carts)[placed]
        speed = chosen(self._stream("speed"), order_places, [7, 2, 1])
        shipping = _SHIPPING_CENTS[speed]
        order_seconds = created[placed] + 60 + below(self._stream("order second"), order_places, 7200)
        orders = [
            csv_text.integers(order_ids),
            carts[0].take(take),
            customers.take(take),
            csv_text.timestamps(self._seconds(order_seconds)),
            channels.take(take),
            self._words("payment", order_places, PAYMENT_METHODS),
            csv_text.words(speed, SHIPPING_SPEEDS),
            csv_text.money(gross),
            csv_text.money(discounts),
            csv_text.money(shipping),
            csv_text.money(gross - discounts + shipping),
        ]
        of_bought = pa.array(bought)
        order_items = [
            csv_text.integers(order_ids[order_of_cart[items.cart[bought]]]),
            item_columns["line_number"].take(of_bought),
            item_columns["product_id"].take(of_bought),
            item_columns["quantity"].take(of_bought),
            prices.take(of_bought),
            csv_text.money(item_discounts[bought]),
        ]
        return {
            "carts": self._messy("carts", places, carts, counts["carts"]),
            "cart_items": self._messy("cart_items", items.place, cart_items, counts["cart_items"]),
            "orders": self._messy("orders", order_places, orders, counts["orders"]),
            "order_items": self._messy("order_items", items.place[bought], order_items, counts["order_items"]),
        }

    def return_rows(
        self, first_return_id: int, sources: list[tuple["Day", int]], mess: dict[str, Counter[str]]
    ) -> dict[str, memoryview]:
        """Return what comes back on this day as CSV lines. `sources` are the days before with their first order ids, oldest first."""
        parts = [part for source, first_order_id in sources if (part := source._coming_back(self.day, first_order_id)) is not None]
        if not parts:
            return {"returns": memoryview(b""), "return_items": memoryview(b"")}
        order_ids, customers, refunds, per_return, line, product, quantity, refund = (np.concatenate(column) for column in zip(*parts, strict=True))
        places = np.arange(len(order_ids), dtype=np.uint64)
        item_places = np.arange(len(line), dtype=np.uint64)
        ids = first_return_id + np.arange(len(order_ids))
        returns = [
            csv_text.integers(ids),
            csv_text.integers(order_ids),
            csv_text.integers(customers),
            csv_text.timestamps(self._seconds(np.sort(below(self._stream("return second"), places, _DAY_SECONDS)))),
            self._words("reason", places, RETURN_REASONS),
            self._words("return channel", places, CHANNELS),
            self._words("refund method", places, REFUND_METHODS),
            csv_text.money(refunds),
        ]
        return_items = [
            csv_text.integers(np.repeat(ids, per_return)),
            csv_text.integers(line),
            csv_text.integers(product),
            csv_text.integers(quantity),
            csv_text.money(refund),
        ]
        return {
            "returns": self._messy("returns", places, returns, mess["returns"]),
            "return_items": self._messy("return_items", item_places, return_items, mess["return_items"]),
        }

    def _coming_back(self, day: date, first_order_id: int) -> tuple[np.ndarray, ...] | None:
        """Return what of this day's orders comes back on a later day: by order its id, customer, refund and number of items, then the items."""
        which = self.returned_on(day)
        if len(which) == 0:
            return None
        places = self.returns.place[which]
        items = self.items(places)
        # The first item always comes back, each other one more often than not.
        back = (items.line == 1) | happens(self._stream("item returned"), items.place, 60)
        cart, place = items.cart[back], items.place[back]
        per_return = np.bincount(cart, minlength=len(places))
        quantity = 1 + below(self._stream("quantity returned"), place, items.quantity[back])
        refund = items.price[back] * quantity * (100 - self.discounts(places)[cart]) // 100
        starts = np.cumsum(per_return) - per_return
        line = 1 + np.arange(len(cart)) - np.repeat(starts, per_return)
        refunds = np.add.reduceat(refund, starts)
        return first_order_id + self.returns.order[which], self.customers(places), refunds, per_return, line, items.product[back], quantity, refund


def days_between(first: date, last: date) -> list[date]:
    """Return the days from the first to the last, both included."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]
