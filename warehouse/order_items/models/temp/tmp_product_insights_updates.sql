{{ config(alias=dated_alias('tmp_product_insights_updates')) }}

-- What arrived says which products changed on which days; their figures are counted anew from all items of those days.
with changed as (
    select distinct retailer, product_id, order_date from {{ ref('tmp_order_item_details') }}
),
items as (
    select *
    from {{ source('atlas', 'order_items') }}
    where ingestion_timestamp < timestamp(date_add({{ partition_date() }}, interval 1 day))
        and {{ orders_taken_in('order_date') }}
    qualify row_number() over (partition by order_item_id order by ingestion_timestamp desc) = 1
)
select
    items.retailer,
    items.product_id,
    items.order_date,
    max(items.product_name) as product_name,
    sum(items.quantity) as items_ordered,
    sum(if(items.is_returned, items.quantity, 0)) as items_returned,
    sum(items.quantity * items.price) as revenue,
    max(items.ingestion_timestamp) as ingested_until
from items
inner join changed
    on items.retailer = changed.retailer
    and items.product_id = changed.product_id
    and items.order_date = changed.order_date
group by items.retailer, items.product_id, items.order_date
