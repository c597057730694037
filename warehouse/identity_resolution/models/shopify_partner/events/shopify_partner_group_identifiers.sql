{{ config(enabled=delivers('shopify_partner')) }}

with shops as (
    select
        id as event_id, {{ surrogate_key(["'shopify_partner'", 'id', "'shop'"]) }} as row_id, occurred_at, synced_at,
        shop_id, shop_domain
    from {{ new_rows('shopify_partner_app_events') }} as app_events
),

fresh as (
    {{ unpivot_identifiers('shops', {'shop_id': 'shop_id', 'domain': 'shop_domain'}, 'shopify_partner', 'shopify_partner_app_events') }}
)

{{ with_retractions('fresh', new_rows('shopify_partner_app_events')) }}
