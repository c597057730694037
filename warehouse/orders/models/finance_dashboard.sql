{{ config(materialized='view') }}

-- Versions that were the newest known of their order at the end of a day.
with believed as (
    select
        order_id,
        order_date,
        amount,
        ingested_on as believed_from,
        lead(ingested_on) over (partition by order_id order by ingested_on) as believed_to
    from (
        select order_id, order_date, amount, ingested_on
        from {{ ref('stg_orders') }}
        where true -- BigQuery has no qualify without a where
        qualify version = max(version) over (partition by order_id order by ingested_on)
    ) as newest
),

changes as (
    select believed_from as changed_on, order_date, 1 as orders, amount from believed
    union all
    select believed_to, order_date, -1, -amount from believed where believed_to is not null
),

changed_days as (
    select changed_on, order_date, sum(orders) as orders, sum(amount) as amount
    from changes
    group by changed_on, order_date
    having sum(orders) <> 0 or sum(amount) <> 0
),

totals as (
    select
        order_date,
        changed_on as as_of_from,
        lead(changed_on) over (partition by order_date order by changed_on) as as_of_to,
        sum(orders) over (partition by order_date order by changed_on) as orders,
        sum(amount) over (partition by order_date order by changed_on) as revenue
    from changed_days
)

select order_date, as_of_from, as_of_to, orders, revenue
from totals
where orders > 0
