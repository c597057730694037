{{ config(enabled=delivers('gadget')) }}

with fresh as (
    select
        {{ surrogate_key(["'gadget'", 'id', 'shop_id']) }} as id,
        id as event_id, 'shop_id' as identifier_type, trim(shop_id) as identifier_value, shop_name as name, plan, country,
        'gadget' as source, 'gadget_shops' as source_table, occurred_at, synced_at
    from {{ new_rows('gadget_shops_raw') }} as shops
    where trim(shop_id) <> ''
)

{{ with_retractions('fresh', new_rows('gadget_shops_raw')) }}
