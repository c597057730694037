{{ config(enabled=delivers('gadget')) }}

with fresh as (
    select
        {{ surrogate_key(["'gadget'", 'event_id', 'identifier_value']) }} as id,
        event_id, 'email' as identifier_type, identifier_value, name,
        'gadget' as source, 'gadget_shops' as source_table, occurred_at, synced_at
    from (
        select
            id as event_id, {{ normalised_identifier("'email'", 'shop_owner_email') }} as identifier_value,
            shop_owner_name as name, occurred_at, synced_at
        from {{ new_rows('gadget_shops_raw') }} as shops
    ) as owners
    where identifier_value is not null
)

{{ with_retractions('fresh', new_rows('gadget_shops_raw')) }}
