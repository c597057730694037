{# Written by the script that runs before resolved_person_identifiers and resolved_group_identifiers; never rebuilt. #}
{{ config(full_refresh=false) }}

select
    cast(null as string) as id,
    cast(null as string) as entity_type,
    cast(null as string) as change,
    cast(null as int64) as from_entity_id,
    cast(null as int64) as to_entity_id,
    cast(null as string) as edge_id,
    false as _realtime,
    current_timestamp() as _ingested_at
from (select 1) as nothing
where false
