{{ config(unique_key=['source', 'id'], cluster_by=['id']) }}

with unioned as (
    {{ union_with_watermarks(sources_var='event_sources') }}
)

select
    id,
    occurred_at,
    event_name,
    event_description,
    value,
    value_unit,
    event_type,
    source,
    synced_at,
    source_ingested_at,
    _removed,
    {{ ingestion_columns() }}
from unioned
