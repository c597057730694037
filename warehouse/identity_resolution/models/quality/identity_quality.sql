{%- set measures = [
    'entities', 'entities_of_one_identifier', 'identifiers', 'identifiers_per_entity_mean', 'identifiers_per_entity_median',
    'identifiers_per_entity_p99', 'identifiers_per_entity_max', 'edges', 'merged', 'split', 'junk_listed', 'junk_shared'
] -%}
with facts as (
    {%- for entity in measured_entities() %}
    select *
    from (
        select
            '{{ entity }}' as entity_type,
            coalesce(sum(entities), 0) as entities,
            coalesce(sum(if(identifiers = 1, entities, 0)), 0) as entities_of_one_identifier,
            coalesce(sum(identifiers * entities), 0) as identifiers,
            coalesce(sum(identifiers * entities) / sum(entities), 0) as identifiers_per_entity_mean,
            coalesce(min(if(up_to >= 0.5 * total, identifiers, null)), 0) as identifiers_per_entity_median,
            coalesce(min(if(up_to >= 0.99 * total, identifiers, null)), 0) as identifiers_per_entity_p99,
            coalesce(max(identifiers), 0) as identifiers_per_entity_max
        from (
            -- A row per size, not per entity: percentiles of millions of entities are exact and cost next to nothing.
            select
                identifiers, count(*) as entities,
                sum(count(*)) over (order by identifiers) as up_to,
                sum(count(*)) over () as total
            from (
                select entity_id, sum(identifiers) as identifiers
                from ({{ identifier_counts(entity) }}) as counts
                group by entity_id
            ) as sizes
            group by identifiers
        ) as distribution
    ) as components
    cross join (select countif(not _removed) as edges from {{ ref(entity ~ '_edges') }}) as graph
    cross join (
        select countif(change = 'merged') as merged, countif(change = 'split') as split
        from {{ ref('entity_merges') }} where entity_type = '{{ entity }}'
    ) as changes
    cross join (
        select countif(reason = 'listed') as junk_listed, countif(reason = 'shared') as junk_shared
        from {{ ref('junk_' ~ entity ~ '_identifiers') }}
    ) as junk
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select
    {{ surrogate_key(['entity_type', 'measured.measure']) }} as id,
    entity_type,
    measured.measure,
    measured.value,
    current_timestamp() as _ingested_at
from facts
cross join unnest([
    {%- for measure in measures %}
    struct('{{ measure }}' as measure, cast(facts.{{ measure }} as float64) as value){% if not loop.last %},{% endif %}
    {%- endfor %}
]) as measured
