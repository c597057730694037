{{ config(enabled=delivers('talbots')) }}

-- Conversions of the CRM, of any day, that identity resolution has no person for.
select c.conversion_id, c.conversion_date
from {{ source('crm', 'conversions') }} as c
left join {{ ref('conversion_persons') }} as p on p.conversion_id = c.conversion_id
where p.conversion_id is null
