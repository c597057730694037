{{ config(enabled=delivers('manual')) }}

select
    id,
    occurred_at,
    event_name,
    event_description,
    value,
    value_unit,
    'manual_event' as event_type,
    'manual' as source,
    synced_at,
    _removed,
    {{ ingestion_columns() }}
from {{ new_rows('manual_events_raw') }} as typed_in
