{# The JSON of the Partner API, parsed and typed; dates that can't be read are null. #}
{{ config(enabled=delivers('shopify_partner')) }}

select
    id,
    safe_cast(json_extract_scalar(payload, '$.occurredAt') as timestamp) as occurred_at,
    json_extract_scalar(payload, '$.type') as type,
    regexp_extract(json_extract_scalar(payload, '$.app.id'), r'[^/]+$') as app_id,
    json_extract_scalar(payload, '$.app.name') as app_name,
    regexp_extract(json_extract_scalar(payload, '$.shop.id'), r'[^/]+$') as shop_id,
    json_extract_scalar(payload, '$.shop.name') as shop_name,
    json_extract_scalar(payload, '$.shop.myshopifyDomain') as shop_domain,
    safe_cast(json_extract_scalar(payload, '$.charge.amount.amount') as numeric) as amount,
    json_extract_scalar(payload, '$.charge.amount.currencyCode') as currency,
    synced_at,
    _removed,
    {{ ingestion_columns() }}
from {{ new_rows('shopify_partner_app_events_raw') }} as arrived
