"""The source tables: their columns, as BigQuery knows them."""

from typing import Any

Row = dict[str, Any]

Batch = dict[str, list[Row]]
"""The rows of each table that arrive on one day."""

Tables = dict[str, dict[str, str]]
"""The type of each column of each table, with NOT NULL where that holds."""

SHOPIFY = "shopify_partner_app_events"
GADGET = "gadget_shops"
MANUAL = "manual_events"
GMAIL = "gmail_messages"

TABLES: Tables = {
    SHOPIFY: {"id": "STRING", "payload": "STRING"},
    GADGET: {
        "id": "STRING",
        "shop_id": "STRING",
        "shop_name": "STRING",
        "domain": "STRING",
        "plan": "STRING",
        "country": "STRING",
        "shop_owner_name": "STRING",
        "shop_owner_email": "STRING",
        "shop_owner_phone": "STRING",
        "event_name": "STRING",
        "occurred_at": "TIMESTAMP",
    },
    MANUAL: {
        "id": "STRING",
        "occurred_at": "TIMESTAMP",
        "event_name": "STRING",
        "event_description": "STRING",
        "value": "NUMERIC",
        "value_unit": "STRING",
        "persons": "STRING",
        "groups": "STRING",
    },
    GMAIL: {
        "id": "STRING",
        "thread_id": "STRING",
        "sent_at": "TIMESTAMP",
        "from_email": "STRING",
        "from_name": "STRING",
        "to_recipients": "STRING",
        "subject": "STRING",
    },
}

for _columns in TABLES.values():
    _columns["synced_at"] = "TIMESTAMP NOT NULL"  # when the row arrived in the warehouse
