{{ config(enabled=delivers('shopify_partner')) }}

with fresh as (
    select
        {{ surrogate_key(["'shopify_partner'", 'id', 'shop_id']) }} as id,
        id as event_id, 'shop_id' as identifier_type, trim(shop_id) as identifier_value, shop_name as name,
        'shopify_partner' as source, 'shopify_partner_app_events' as source_table, occurred_at, synced_at
    from {{ new_rows('shopify_partner_app_events') }} as app_events
    where trim(shop_id) <> ''
)

{{ with_retractions('fresh', new_rows('shopify_partner_app_events')) }}
