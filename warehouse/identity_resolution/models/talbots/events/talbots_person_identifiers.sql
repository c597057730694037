{# A conversion that names nobody is a person of its own, by its id. #}
{{ config(enabled=delivers('talbots')) }}

with buyers as (
    select
        id as event_id, {{ surrogate_key(["'talbots'", 'id']) }} as row_id, converted_at as occurred_at, synced_at, email, phone, loyalty_id,
        if(
            coalesce(
                {{ normalised_identifier("'email'", 'email') }}, {{ normalised_identifier("'phone'", 'phone') }},
                {{ normalised_identifier("'loyalty_id'", 'loyalty_id') }}
            ) is null,
            id, null
        ) as conversion_id
    from {{ new_rows('talbots_conversions_raw') }} as conversions
),

fresh as (
    {{ unpivot_identifiers(
        'buyers',
        {'email': 'email', 'phone': 'phone', 'loyalty_id': 'loyalty_id', 'conversion_id': 'conversion_id'},
        'talbots', 'conversions'
    ) }}
)

{{ with_retractions('fresh', new_rows('talbots_conversions_raw')) }}
