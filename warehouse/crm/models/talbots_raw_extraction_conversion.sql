{{ config(partitions=[partition_day()], cluster_by=['unique_key']) }}

select
    conversion_date,
    source_line,
    conversion_id,
    unique_key,
    order_id,
    email,
    phone,
    loyalty_id,
    store,
    amount,
    currency,
    converted_at,
    updated_at,
    channel
from {{ source('landing', 'conversion') }}
where conversion_date = {{ partition_day() }}
