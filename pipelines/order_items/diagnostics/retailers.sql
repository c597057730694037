-- Whose old orders were ingested again in the 48 hours before a date and on it, and whether returns explain it.
select
    retailer,
    count(*) as items_ingested,
    countif(order_date < date_sub(@partition, interval 6 day)) as items_older_than_the_net,
    min(order_date) as oldest_order,
    count(distinct order_date) as days_of_orders,
    round(100 * countif(is_returned) / count(*), 1) as percent_returned
from `return_insights_base.order_items`
where ingestion_timestamp >= timestamp_sub(timestamp(@partition), interval 48 hour)
    and ingestion_timestamp < timestamp(date_add(@partition, interval 1 day))
group by retailer
order by items_older_than_the_net desc, items_ingested desc
limit 50
