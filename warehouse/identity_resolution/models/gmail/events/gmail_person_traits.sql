{{ config(enabled=delivers('gmail')) }}

with addresses as (
    select id as event_id, sent_at as occurred_at, synced_at, from_email as email, from_name as name
    from {{ new_rows('gmail_messages_raw') }} as messages
    union all
    select
        messages.id, messages.sent_at, messages.synced_at,
        json_extract_scalar(recipient, '$.email'), json_extract_scalar(recipient, '$.name')
    from {{ new_rows('gmail_messages_raw') }} as messages
    cross join unnest(json_extract_array(messages.to_recipients)) as recipient
),

fresh as (
    select
        {{ surrogate_key(["'gmail'", 'event_id', 'identifier_value']) }} as id,
        event_id, 'email' as identifier_type, identifier_value, max(name) as name,
        'gmail' as source, 'gmail_messages' as source_table, occurred_at, synced_at
    from (
        select *, {{ normalised_identifier("'email'", 'email') }} as identifier_value from addresses
    ) as named
    where identifier_value is not null and name is not null
    group by event_id, identifier_value, occurred_at, synced_at
)

{{ with_retractions('fresh', new_rows('gmail_messages_raw')) }}
