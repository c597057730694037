select order_date as day, count(*) as orders, sum(amount) as revenue
from market_orders.fct_orders
where order_date between @window_start and @window_end
group by day
