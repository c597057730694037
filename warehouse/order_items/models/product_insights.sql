{{ config(
    materialized='incremental',
    incremental_strategy='merge',
    unique_key=['retailer', 'product_id', 'order_date'],
    partition_by={'field': 'order_date', 'data_type': 'date'},
    incremental_predicates=[orders_taken_in('DBT_INTERNAL_DEST.order_date')],
    full_refresh=false
) }}

select updates.*
from {{ ref('tmp_product_insights_updates') }} as updates
{% if is_incremental() %}
-- A date that is built again after later ones must not put their newer figures back.
left join {{ this }} as known
    on updates.retailer = known.retailer
    and updates.product_id = known.product_id
    and updates.order_date = known.order_date
    and {{ orders_taken_in('known.order_date') }}
where known.ingested_until is null or updates.ingested_until >= known.ingested_until
{% endif %}
