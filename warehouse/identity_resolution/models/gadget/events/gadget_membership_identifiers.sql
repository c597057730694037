{{ config(enabled=delivers('gadget')) }}

with fresh as (
    select
        {{ surrogate_key(["'gadget'", 'event_id', 'person_identifier', 'group_identifier']) }} as id,
        event_id, person_identifier, 'email' as person_identifier_type, group_identifier, 'shop_id' as group_identifier_type,
        'owner' as role, 'gadget' as source, 'gadget_shops' as source_table, occurred_at, synced_at
    from (
        select
            id as event_id, {{ normalised_identifier("'email'", 'shop_owner_email') }} as person_identifier,
            nullif(trim(shop_id), '') as group_identifier, occurred_at, synced_at
        from {{ new_rows('gadget_shops_raw') }} as shops
    ) as owners
    where person_identifier is not null and group_identifier is not null
)

{{ with_retractions('fresh', new_rows('gadget_shops_raw')) }}
