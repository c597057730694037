{# The store that a buyer was in last, told by the best of the identifiers that the conversion has. #}
{{ config(enabled=delivers('talbots')) }}

with buyers as (
    select
        id as event_id,
        {{ normalised_identifier("'email'", 'email') }} as email,
        {{ normalised_identifier("'phone'", 'phone') }} as phone,
        {{ normalised_identifier("'loyalty_id'", 'loyalty_id') }} as loyalty_id,
        store, converted_at as occurred_at, synced_at
    from {{ new_rows('talbots_conversions_raw') }} as conversions
    where store is not null
),

fresh as (
    select
        {{ surrogate_key(["'talbots'", 'event_id']) }} as id,
        event_id,
        case when email is not null then 'email' when phone is not null then 'phone' when loyalty_id is not null then 'loyalty_id' else 'conversion_id' end
            as identifier_type,
        coalesce(email, phone, loyalty_id, event_id) as identifier_value,
        store,
        'talbots' as source, 'conversions' as source_table, occurred_at, synced_at
    from buyers
)

{{ with_retractions('fresh', new_rows('talbots_conversions_raw')) }}
