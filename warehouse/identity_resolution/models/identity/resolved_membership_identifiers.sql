{{ config(
    enabled=delivered('membership_identifier_sources') | length > 0,
    meta={'realtime_delete': 'person_id in (select person_id from changed_persons) or group_id in (select group_id from changed_groups)'},
    pre_hook="{{ forget_changed_memberships() }}"
) }}

select
    {{ surrogate_key(['person_id', 'group_id']) }} as id,
    person_id, group_id, role, source, event_id, occurred_at, synced_at,
    {{ ingestion_columns() }}
from (
    select
        person.person_id, company.group_id, memberships.role, memberships.source, memberships.event_id, memberships.occurred_at,
        memberships.synced_at
    from {{ ref('membership_identifiers') }} as memberships
    join {{ ref('resolved_person_identifiers') }} as person
        on person.identifier_type = memberships.person_identifier_type and person.identifier_value = memberships.person_identifier
    join {{ ref('resolved_group_identifiers') }} as company
        on company.identifier_type = memberships.group_identifier_type and company.identifier_value = memberships.group_identifier
    left join {{ ref('junk_person_identifiers') }} as junk_person
        on junk_person.identifier_type = person.identifier_type and junk_person.identifier_value = person.identifier_value
    left join {{ ref('junk_group_identifiers') }} as junk_group
        on junk_group.identifier_type = company.identifier_type and junk_group.identifier_value = company.identifier_value
    where not memberships._removed and junk_person.id is null and junk_group.id is null
) as joined_memberships
where {{ of_changed_entities('joined_memberships') }}
qualify row_number() over (
    partition by person_id, group_id order by occurred_at desc, synced_at desc, source desc, event_id desc, role desc
) = 1
