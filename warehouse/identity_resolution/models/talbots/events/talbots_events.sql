{{ config(enabled=delivers('talbots')) }}

select
    id,
    converted_at as occurred_at,
    if(amount < 0, 'refund', 'purchase') as event_name,
    concat(coalesce(store, channel, 'unknown store'), if(amount < 0, ' refund', ' purchase')) as event_description,
    amount as value,
    currency as value_unit,
    'conversion' as event_type,
    'talbots' as source,
    conversion_date,
    order_id,
    store,
    channel,
    synced_at,
    _removed,
    {{ ingestion_columns() }}
from {{ new_rows('talbots_conversions_raw') }} as conversions
