{{ config(enabled=delivers('shopify_partner')) }}

select
    id, payload, synced_at,
    false as _removed,
    {{ ingestion_columns() }}
from {{ incremental_source_filter(source('raw', 'shopify_partner_app_events')) }} as arrived
{{ removed_from_source(source('raw', 'shopify_partner_app_events')) }}
