-- Which temporary tables are left, and which of them have gone over seven days of data.
select
    concat('tmp_order_item_details_', _table_suffix) as temp_table,
    count(distinct order_date) as days_of_orders,
    count(distinct order_date) > 7 as gone_over,
    min(order_date) as oldest_order,
    max(order_date) as newest_order,
    count(*) as item_rows
from `return_insights_base.tmp_order_item_details_*`
group by _table_suffix
order by days_of_orders desc, temp_table
