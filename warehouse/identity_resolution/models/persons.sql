select
    p.person_id,
    min(c.converted_at) as first_conversion_at,
    max(c.converted_at) as last_conversion_at,
    count(*) as conversions,
    array(select x from unnest(array_agg(distinct c.email ignore nulls)) as x order by x) as emails,
    array(select x from unnest(array_agg(distinct c.phone ignore nulls)) as x order by x) as phones,
    array(select x from unnest(array_agg(distinct c.loyalty_id ignore nulls)) as x order by x) as loyalty_ids
from {{ ref('conversion_persons') }} as p
join {{ source('crm', 'conversions') }} as c on c.conversion_id = p.conversion_id
group by p.person_id
