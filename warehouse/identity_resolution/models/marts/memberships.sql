{{ config(
    enabled=delivered('membership_identifier_sources') | length > 0,
    meta={'realtime_delete': 'person_id in (select person_id from changed_persons) or group_id in (select group_id from changed_groups)'},
    pre_hook="{{ forget_changed_memberships() }}"
) }}

select
    resolved.id,
    resolved.person_id,
    resolved.group_id,
    resolved.role,
    resolved.source,
    resolved.occurred_at,
    person.name as person_name,
    company.name as group_name,
    {{ ingestion_columns() }}
from {{ ref('resolved_membership_identifiers') }} as resolved
left join {{ ref('persons') }} as person on person.person_id = resolved.person_id
left join {{ ref('groups') }} as company on company.group_id = resolved.group_id
where {{ of_changed_entities('resolved') }}
