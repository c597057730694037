{# What the final tables say of each changed person or group, as CTEs: `identifiers`, `traits`, `activity`. #}
{% macro entity_facts(entity) -%}
{%- set id = entity ~ '_id' -%}
identifiers as (
    select live.{{ id }}, live.identifier_type, live.identifier_value
    from {{ live_identifiers(entity) }} as live
    where live.{{ id }} in (select changed.{{ id }} from {{ changed_entities(entity) }} as changed)
),

traits as (
    select {{ id }}, trait_name, trait_value
    from {{ ref('resolved_' ~ entity ~ '_traits') }}
    where {{ id }} in (select {{ id }} from identifiers)
),

activity as (
    select
        identifiers.{{ id }},
        min(named.occurred_at) as first_event_at,
        max(named.occurred_at) as last_event_at,
        count(distinct concat(named.source, ' ', named.event_id)) as events,
        array_agg(distinct named.source order by named.source) as sources
    from identifiers
    join {{ ref(entity ~ '_identifiers') }} as named
        on named.identifier_type = identifiers.identifier_type and named.identifier_value = identifiers.identifier_value
    where not named._removed
    group by identifiers.{{ id }}
)
{%- endmacro %}

{# The identifiers of one type, in order, as an array in an aggregation over `identifiers`. #}
{% macro identifiers_of_type(type) -%}
array(
    select identifier from unnest(array_agg(if(identifier_type = '{{ type }}', identifier_value, null) ignore nulls)) as identifier
    order by identifier
)
{%- endmacro %}

{# Before a final table is merged: rows of entities that are no more, because they gave way or nothing but junk names them any more. #}
{% macro forget_dead_entities(entity) -%}
{%- if is_incremental() -%}
delete from {{ this }}
where {{ entity }}_id in (select changed.{{ entity }}_id from {{ changed_entities(entity) }} as changed)
    and {{ entity }}_id not in (select live.{{ entity }}_id from {{ live_identifiers(entity) }} as live)
{%- endif -%}
{%- endmacro %}
