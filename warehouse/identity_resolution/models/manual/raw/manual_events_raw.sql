{{ config(enabled=delivers('manual')) }}

select
    id, occurred_at, event_name, event_description, value, value_unit, persons, `groups`, synced_at,
    false as _removed,
    {{ ingestion_columns() }}
from {{ incremental_source_filter(source('raw', 'manual_events')) }} as arrived
{{ removed_from_source(source('raw', 'manual_events')) }}
