-- What fct_orders has to hold: the newest version of every order, of all that were taken in before and of those that arrived in
-- the window of this build, here read from the landing table itself.
with landed as (
    select
        order_id, event_id, event_time, order_date, store, amount,
        least(coalesce(event_ingested_at, event_time), timestamp_add(batch_hour, interval 3599999999 microsecond)) as event_ingested_at
    from market_landing.orders_landing
    where batch_hour >= timestamp(date_sub(@partition, interval 3 day))
),

versions as (
    select order_id, event_time, event_ingested_at, event_id, order_date, store, amount
    from landed
    where date(event_ingested_at) between date_sub(@partition, interval 3 day) and @partition
    union all
    select order_id, event_time, event_ingested_at, event_id, order_date, store, amount
    from market_orders.stg_orders
),

newest as (
    select order_date, amount
    from versions
    where true -- BigQuery has no qualify without a where
    qualify row_number() over (
        partition by order_id
        order by event_time desc, event_ingested_at desc, event_id desc, order_date desc, store desc, cast(amount as string) desc
    ) = 1
)

select order_date as day, count(*) as orders, sum(amount) as revenue
from newest
where order_date between @window_start and @window_end
group by day
