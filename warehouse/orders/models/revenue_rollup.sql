{{ config(materialized='view') }}

select
    order_date,
    count(*) as orders,
    sum(amount) as revenue,
    max(event_ingested_at) as last_ingested_at
from {{ ref('fct_orders') }}
group by order_date
