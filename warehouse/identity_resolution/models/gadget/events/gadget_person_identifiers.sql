{{ config(enabled=delivers('gadget')) }}

with owners as (
    select
        id as event_id, {{ surrogate_key(["'gadget'", 'id', "'owner'"]) }} as row_id, occurred_at, synced_at,
        shop_owner_email, shop_owner_phone
    from {{ new_rows('gadget_shops_raw') }} as shops
),

fresh as (
    {{ unpivot_identifiers('owners', {'email': 'shop_owner_email', 'phone': 'shop_owner_phone'}, 'gadget', 'gadget_shops') }}
)

{{ with_retractions('fresh', new_rows('gadget_shops_raw')) }}
