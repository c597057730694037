{# Every person of an event is a member of its first group, by the first identifier of each. #}
{{ config(enabled=delivers('manual')) }}

with fresh as (
    select
        {{ surrogate_key(["'manual'", 'event_id', 'person_place']) }} as id,
        event_id, person_identifier, person_identifier_type, group_identifier, group_identifier_type, role,
        'manual' as source, 'manual_events' as source_table, occurred_at, synced_at
    from (
        select
            event_id, person_place, person_identifier_type, group_identifier_type, role, occurred_at, synced_at,
            {{ normalised_identifier('person_identifier_type', 'given_person') }} as person_identifier,
            {{ normalised_identifier('group_identifier_type', 'given_group') }} as group_identifier
        from (
            select
                typed_in.id as event_id, place as person_place, typed_in.occurred_at, typed_in.synced_at,
                coalesce(json_extract_scalar(person, '$.role'), 'member') as role,
                json_extract_scalar(person, '$.identifiers[0].type') as person_identifier_type,
                json_extract_scalar(person, '$.identifiers[0].value') as given_person,
                json_extract_scalar(typed_in.`groups`, '$[0].identifiers[0].type') as group_identifier_type,
                json_extract_scalar(typed_in.`groups`, '$[0].identifiers[0].value') as given_group
            from {{ new_rows('manual_events_raw') }} as typed_in
            cross join unnest(json_extract_array(typed_in.persons)) as person with offset as place
        ) as given
    ) as normalised
    where person_identifier is not null and group_identifier is not null
)

{{ with_retractions('fresh', new_rows('manual_events_raw')) }}
