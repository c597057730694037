{{ config(enabled=delivered('membership_identifier_sources') | length > 0) }}

with unioned as (
    {{ union_with_watermarks(sources_var='membership_identifier_sources') }}
)

select
    id,
    event_id,
    person_identifier,
    person_identifier_type,
    group_identifier,
    group_identifier_type,
    role,
    source,
    source_table,
    occurred_at,
    synced_at,
    source_ingested_at,
    _removed,
    {{ ingestion_columns() }}
from unioned
