{# The identifiers that a manual event names, of its `persons` or `groups`: JSON arrays of {"identifiers": [{"type", "value"}], …}.
   Those of one array element belong together. #}
{% macro manual_identifiers(entities) -%}
select distinct
    {{ surrogate_key(['row_id', 'identifier_type', 'identifier_value']) }} as id,
    event_id, row_id, identifier_type, identifier_value,
    'manual' as source, 'manual_events' as source_table, occurred_at, synced_at
from (
    select
        event_id, {{ surrogate_key(["'manual'", "'" ~ entities ~ "'", 'event_id', 'entity_place']) }} as row_id, identifier_type,
        {{ normalised_identifier('identifier_type', 'given_value') }} as identifier_value, occurred_at, synced_at
    from (
        select
            typed_in.id as event_id, place as entity_place, typed_in.occurred_at, typed_in.synced_at,
            json_extract_scalar(identifier, '$.type') as identifier_type, json_extract_scalar(identifier, '$.value') as given_value
        from {{ new_rows('manual_events_raw') }} as typed_in
        cross join unnest(json_extract_array(typed_in.`{{ entities }}`)) as entity with offset as place
        cross join unnest(json_extract_array(entity, '$.identifiers')) as identifier
    ) as given
) as normalised
where identifier_type is not null and identifier_value is not null
{%- endmacro %}

{# The traits that a manual event tells of its `persons` or `groups`, by the first identifier of each. #}
{% macro manual_traits(entities, traits) -%}
select
    {{ surrogate_key(["'manual'", 'event_id', 'entity_place']) }} as id,
    event_id, identifier_type, {{ normalised_identifier('identifier_type', 'given_value') }} as identifier_value,
    {% for trait in traits %}json_extract_scalar(entity, '$.traits.{{ trait }}') as {{ trait }}, {% endfor %}
    'manual' as source, 'manual_events' as source_table, occurred_at, synced_at
from (
    select
        typed_in.id as event_id, place as entity_place, entity, typed_in.occurred_at, typed_in.synced_at,
        json_extract_scalar(entity, '$.identifiers[0].type') as identifier_type,
        json_extract_scalar(entity, '$.identifiers[0].value') as given_value
    from {{ new_rows('manual_events_raw') }} as typed_in
    cross join unnest(json_extract_array(typed_in.`{{ entities }}`)) as entity with offset as place
) as given
where {{ normalised_identifier('identifier_type', 'given_value') }} is not null
{%- endmacro %}
