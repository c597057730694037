-- In which hours items were ingested in the 48 hours before a date and on it: all through the day, or by a schedule?
select
    timestamp_trunc(ingestion_timestamp, hour) as hour_utc,
    count(*) as items_ingested,
    countif(order_date < date_sub(@partition, interval 6 day)) as items_older_than_the_net,
    count(distinct retailer) as retailers,
    min(order_date) as oldest_order
from `return_insights_base.order_items`
where ingestion_timestamp >= timestamp_sub(timestamp(@partition), interval 48 hour)
    and ingestion_timestamp < timestamp(date_add(@partition, interval 1 day))
group by hour_utc
order by hour_utc
