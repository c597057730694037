{{ config(enabled=delivers('gadget')) }}

with shops as (
    select
        id as event_id, {{ surrogate_key(["'gadget'", 'id', "'shop'"]) }} as row_id, occurred_at, synced_at,
        shop_id, domain
    from {{ new_rows('gadget_shops_raw') }} as shops
),

fresh as (
    {{ unpivot_identifiers('shops', {'shop_id': 'shop_id', 'domain': 'domain'}, 'gadget', 'gadget_shops') }}
)

{{ with_retractions('fresh', new_rows('gadget_shops_raw')) }}
