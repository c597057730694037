{{ config(enabled=delivers('gmail')) }}

select
    id,
    sent_at as occurred_at,
    'message_sent' as event_name,
    concat(coalesce(from_name, from_email), ' wrote: ', coalesce(subject, '(no subject)')) as event_description,
    cast(null as numeric) as value,
    cast(null as string) as value_unit,
    'email' as event_type,
    'gmail' as source,
    thread_id,
    subject,
    synced_at,
    _removed,
    {{ ingestion_columns() }}
from {{ new_rows('gmail_messages_raw') }} as messages
