{{
    config(
        unique_key='version',
        partition_by={'field': 'ingested_on', 'data_type': 'date'},
        cluster_by=['order_id'],
        incremental_predicates=[in_window('DBT_INTERNAL_DEST.ingested_on')],
    )
}}

with landed as (
    select
        order_id,
        event_id,
        event_time,
        -- Without a time of ingestion the event came on time. No event came after the batch that brought it, whatever its clock says.
        least(coalesce(event_ingested_at, event_time), timestamp_add(batch_hour, interval 3599999999 microsecond)) as event_ingested_at,
        order_date,
        store,
        amount
    from {{ source('landing', 'orders_landing') }}
    -- The landing table's partition: what came in the window cannot have landed before it began.
    where batch_hour >= timestamp({{ window_start() }})
)

-- A device that sends an event twice at once tells nothing new.
select distinct
    concat(
        {{ sortable('event_time') }}, '/', {{ sortable('event_ingested_at') }}, '/', event_id, '/',
        order_id, '/', cast(order_date as string), '/', store, '/', cast(amount as string)
    ) as version,
    order_id,
    event_id,
    event_time,
    event_ingested_at,
    date(event_ingested_at) as ingested_on,
    order_date,
    store,
    amount
from landed
where {{ in_window('date(event_ingested_at)') }}
