{{ config(enabled=delivers('gmail')) }}

with addresses as (
    select
        id as event_id, {{ surrogate_key(["'gmail'", 'id', "'from'"]) }} as row_id, sent_at as occurred_at, synced_at, from_email as email
    from {{ new_rows('gmail_messages_raw') }} as messages
    union all
    select
        messages.id, {{ surrogate_key(["'gmail'", 'messages.id', 'place']) }}, messages.sent_at, messages.synced_at,
        json_extract_scalar(recipient, '$.email')
    from {{ new_rows('gmail_messages_raw') }} as messages
    cross join unnest(json_extract_array(messages.to_recipients)) as recipient with offset as place
),

fresh as (
    {{ unpivot_identifiers('addresses', {'email': 'email'}, 'gmail', 'gmail_messages') }}
)

{{ with_retractions('fresh', new_rows('gmail_messages_raw')) }}
