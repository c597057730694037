{{
    config(
        unique_key='order_id',
        partition_by={'field': 'order_date', 'data_type': 'date'},
        cluster_by=['order_id'],
    )
}}

select
    order_id,
    order_date,
    store,
    amount,
    event_id,
    event_time,
    event_ingested_at,
    version
from {{ ref('stg_orders') }}
-- By when they came, never by when they happened: an event that comes late is among those of the day on which it comes.
where {{ in_window('ingested_on') }}
qualify row_number() over (partition by order_id order by version desc) = 1
