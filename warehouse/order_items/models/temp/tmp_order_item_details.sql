{{ config(alias=dated_alias('tmp_order_item_details')) }}

select
    order_item_id,
    retailer,
    product_id,
    order_date,
    ingestion_timestamp
from {{ source('atlas', 'order_items') }}
where ingestion_timestamp >= timestamp_sub(timestamp({{ partition_date() }}), interval {{ var('ingestion_hours') | int }} hour)
    and ingestion_timestamp < timestamp(date_add({{ partition_date() }}, interval 1 day))
    and {{ orders_taken_in('order_date') }}
qualify row_number() over (partition by order_item_id order by ingestion_timestamp desc) = 1
