{{ config(
    partition_by={'field': 'conversion_date', 'data_type': 'date'},
    pre_hook="{{ resolve_components(conversions_taken_in(), source('identity', 'conversion_component')) }}"
) }}

select
    conversion_id,
    conversion_date,
    -- The number is that of the component's oldest conversion, so its id names the person.
    to_hex(md5(first_value(conversion_id) over (partition by component order by number))) as person_id
from {{ source('identity', 'conversion_component') }}
