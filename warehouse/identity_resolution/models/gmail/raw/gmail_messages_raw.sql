{{ config(enabled=delivers('gmail')) }}

select
    id, thread_id, sent_at, from_email, from_name, to_recipients, subject, synced_at,
    false as _removed,
    {{ ingestion_columns() }}
from {{ incremental_source_filter(source('raw', 'gmail_messages')) }} as arrived
{{ removed_from_source(source('raw', 'gmail_messages')) }}
