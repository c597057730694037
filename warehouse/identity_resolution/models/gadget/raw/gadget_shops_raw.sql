{{ config(enabled=delivers('gadget')) }}

select
    id, shop_id, shop_name, domain, plan, country, shop_owner_name, shop_owner_email, shop_owner_phone, event_name, occurred_at,
    synced_at,
    false as _removed,
    {{ ingestion_columns() }}
from {{ incremental_source_filter(source('raw', 'gadget_shops')) }} as arrived
{{ removed_from_source(source('raw', 'gadget_shops')) }}
