-- A date that was built before all of it had been ingested is stale.
select date(ingestion_timestamp) as day, max(ingestion_timestamp) as changed_at
from order_items
where ingestion_timestamp >= timestamp(@partition_start)
    and ingestion_timestamp < timestamp(date_add(@partition_end, interval 1 day))
group by day
