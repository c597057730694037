{{ config(enabled=delivers('gadget')) }}

select
    id,
    occurred_at,
    event_name,
    concat(coalesce(shop_name, shop_id), ' ', event_name) as event_description,
    cast(null as numeric) as value,
    cast(null as string) as value_unit,
    'shop_event' as event_type,
    'gadget' as source,
    shop_id,
    plan,
    synced_at,
    _removed,
    {{ ingestion_columns() }}
from {{ new_rows('gadget_shops_raw') }} as shops
