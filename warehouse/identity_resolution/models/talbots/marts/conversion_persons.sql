{{ config(
    enabled=delivers('talbots'),
    unique_key='conversion_id',
    partition_by={'field': 'conversion_date', 'data_type': 'date'},
    pre_hook="{{ forget_conversions() }}"
) }}

select
    named.event_id as conversion_id,
    raw.conversion_date,
    -- What is junk names somebody only when nothing better does.
    coalesce(min(if(junk.id is null, resolved.person_id, null)), min(resolved.person_id)) as person_id,
    {{ ingestion_columns() }}
from {{ ref('talbots_person_identifiers') }} as named
join {{ ref('talbots_conversions_raw') }} as raw on raw.id = named.event_id
join {{ ref('resolved_person_identifiers') }} as resolved
    on resolved.identifier_type = named.identifier_type and resolved.identifier_value = named.identifier_value
left join {{ ref('junk_person_identifiers') }} as junk
    on junk.identifier_type = named.identifier_type and junk.identifier_value = named.identifier_value
where not named._removed
    and resolved.person_id in (select changed.person_id from {{ changed_entities('person') }} as changed)
group by named.event_id, raw.conversion_date
