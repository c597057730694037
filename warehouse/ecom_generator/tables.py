"""The tables: their columns, keys, parents, and how they are partitioned. Generating, exporting and verifying all read this."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["integer", "money", "timestamp", "date", "word", "text", "boolean"]

CATEGORIES = ("Books", "Clothing", "Electronics", "Home", "Toys")
CHANNELS = ("web", "app", "phone", "social_media", "marketplace")
CART_STATUSES = ("converted", "abandoned", "open")
PAYMENT_METHODS = ("credit_card", "paypal", "apple_pay", "google_pay", "bank_transfer")
SHIPPING_SPEEDS = ("standard", "two_day", "overnight")
RETURN_REASONS = ("defective", "wrong_item", "arrived_damaged", "not_as_described", "arrived_late", "no_longer_needed")
REFUND_METHODS = ("original_payment", "store_credit", "exchange")

SQL_TYPES: dict[Kind, str] = {
    "integer": "bigint",
    "money": "decimal(12, 2)",
    "timestamp": "timestamp",
    "date": "date",
    "word": "varchar",
    "text": "varchar",
    "boolean": "boolean",
}


@dataclass(frozen=True)
class Column:
    """A column; `words` are all that a word may be, in lower case unless the table is a lookup."""

    name: str
    kind: Kind
    words: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True)
class Table:
    """A table. Its partitions are named by `partition`; a child's rows lie where their parent's do.

    `key` tells rows apart, its first column is what manifests give the bounds of. `event` is the timestamp whose day is the partition of
    a table without parent. `refers` are further columns and the tables that must hold their values.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition: str = "ingest_dt"
    event: str | None = None
    parent: str | None = None
    refers: tuple[tuple[str, str], ...] = ()

    @property
    def parent_key(self) -> str:
        """The column that names the parent, the first of the key."""
        return self.key[0]

    @property
    def stored(self) -> tuple[Column, ...]:
        """The columns inside the files: not the one that the partition is named by, which a reader takes from the path."""
        return tuple(column for column in self.columns if column.name != self.partition)


def _id(name: str) -> Column:
    return Column(name, "integer")


CUSTOMERS = Table(
    "customers",
    (
        _id("customer_id"),
        Column("first_name", "text"),
        Column("last_name", "text"),
        Column("email", "text"),
        Column("signup_date", "date"),
        Column("signup_channel", "text"),
        Column("loyalty_tier", "text", required=False),
        Column("marketing_opt_in", "boolean"),
        Column("mailing_address", "text"),
    ),
    key=("customer_id",),
    partition="signup_date",
)
PRODUCT_CATALOG = Table(
    "product_catalog",
    (
        _id("product_id"),
        Column("product_name", "text"),
        Column("category", "text"),
        Column("unit_price", "money"),
        Column("cost_price", "money"),
        Column("inventory_quantity", "integer"),
    ),
    key=("product_id",),
    partition="category",
)
CARTS = Table(
    "carts",
    (
        _id("cart_id"),
        _id("customer_id"),
        Column("created_at", "timestamp"),
        Column("updated_at", "timestamp"),
        Column("status", "word", CART_STATUSES),
        Column("channel", "word", CHANNELS, required=False),
        Column("cart_total", "money"),
    ),
    key=("cart_id",),
    event="created_at",
    refers=(("customer_id", "customers"),),
)
CART_ITEMS = Table(
    "cart_items",
    (
        _id("cart_id"),
        _id("line_number"),
        _id("product_id"),
        Column("added_at", "timestamp", required=False),
        Column("quantity", "integer"),
        Column("unit_price", "money"),
    ),
    key=("cart_id", "line_number"),
    parent="carts",
    refers=(("product_id", "product_catalog"),),
)
ORDERS = Table(
    "orders",
    (
        _id("order_id"),
        _id("cart_id"),
        _id("customer_id"),
        Column("order_date", "timestamp"),
        Column("order_channel", "word", CHANNELS, required=False),
        Column("payment_method", "word", PAYMENT_METHODS),
        Column("shipping_speed", "word", SHIPPING_SPEEDS, required=False),
        Column("gross_total", "money"),
        Column("discount_total", "money"),
        Column("shipping_cost", "money"),
        Column("net_total", "money"),
    ),
    key=("order_id",),
    event="order_date",
    refers=(("customer_id", "customers"), ("cart_id", "carts")),
)
ORDER_ITEMS = Table(
    "order_items",
    (
        _id("order_id"),
        _id("line_number"),
        _id("product_id"),
        Column("quantity", "integer"),
        Column("unit_price", "money"),
        Column("discount_amount", "money", required=False),
    ),
    key=("order_id", "line_number"),
    parent="orders",
    refers=(("product_id", "product_catalog"),),
)
RETURNS = Table(
    "returns",
    (
        _id("return_id"),
        _id("order_id"),
        _id("customer_id"),
        Column("return_date", "timestamp"),
        Column("reason", "word", RETURN_REASONS, required=False),
        Column("return_channel", "word", CHANNELS),
        Column("refund_method", "word", REFUND_METHODS),
        Column("refunded_amount", "money"),
    ),
    key=("return_id",),
    event="return_date",
    refers=(("customer_id", "customers"), ("order_id", "orders")),
)
RETURN_ITEMS = Table(
    "return_items",
    (
        _id("return_id"),
        _id("line_number"),
        _id("product_id"),
        Column("quantity_returned", "integer"),
        Column("refunded_amount", "money"),
    ),
    key=("return_id", "line_number"),
    parent="returns",
    refers=(("product_id", "product_catalog"),),
)

DIMENSIONS = (CUSTOMERS, PRODUCT_CATALOG)
TRANSACTIONS = (CARTS, CART_ITEMS, ORDERS, ORDER_ITEMS, RETURNS, RETURN_ITEMS)
"""Each after its parent."""

TABLES = {table.name: table for table in DIMENSIONS + TRANSACTIONS}
REJECTS = "rejects"
"""Where the rows of a chunk go that no table takes; partitioned by chunk."""

ID_COUNTERS = {"carts": "last_cart_id", "orders": "last_order_id", "returns": "last_return_id"}
"""Tables whose ids follow one another through all chunks, and the field of the id state that holds the last."""
