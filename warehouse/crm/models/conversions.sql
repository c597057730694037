{{ config(partitions=[partition_day()], cluster_by=['conversion_id']) }}

select
    conversion_date,
    conversion_id,
    unique_key,
    order_id,
    email,
    phone,
    loyalty_id,
    store,
    channel,
    amount,
    currency,
    amount < 0 as is_refund,
    converted_at,
    updated_at
from {{ ref('talbots_raw_extraction_conversion') }}
where conversion_date = {{ partition_day() }}
