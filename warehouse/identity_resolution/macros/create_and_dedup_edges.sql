{#
  An edge for every two identifiers of one record, once, whatever the direction and however often it occurs: `a` is before `b` by
  type and value. Provenance is that of the earliest occurrence. Edges of junk identifiers are none.

  Worked out anew for every pair that records with new rows hold; an edge that nothing supports any more is marked `_removed`.
#}
{% macro create_and_dedup_edges(entity) -%}
{%- set identifiers = ref(entity ~ '_identifiers') -%}
{%- set junk = ref('junk_' ~ entity ~ '_identifiers') -%}
{%- set nodes = ref(entity ~ '_nodes') -%}
{%- set new_identifiers = new_rows(entity ~ '_identifiers') -%}
{%- set incremental = realtime() or is_incremental() -%}
{%- set ends = 'identifier_type_a, identifier_value_a, identifier_type_b, identifier_value_b' -%}
with formed as (
    select distinct
        a.identifier_type as identifier_type_a, a.identifier_value as identifier_value_a,
        b.identifier_type as identifier_type_b, b.identifier_value as identifier_value_b
    from {{ identifiers }} as a
    join {{ identifiers }} as b
        on b.row_id = a.row_id
            and (a.identifier_type < b.identifier_type
                or (a.identifier_type = b.identifier_type and a.identifier_value < b.identifier_value))
    {%- if incremental %}
    where a.row_id in (select changed.row_id from {{ new_identifiers }} as changed)
    {%- endif %}
),

{%- if incremental %}

newly_junk as (
    select {% for end in ends.split(', ') %}edges.{{ end }}{% if not loop.last %}, {% endif %}{% endfor %}
    from {{ this }} as edges
    join {{ new_rows('junk_' ~ entity ~ '_identifiers') }} as junk
        on (junk.identifier_type = edges.identifier_type_a and junk.identifier_value = edges.identifier_value_a)
            or (junk.identifier_type = edges.identifier_type_b and junk.identifier_value = edges.identifier_value_b)
    where not edges._removed
),
{%- endif %}

candidates as (
    select {{ ends }} from formed
    {%- if incremental %}
    union distinct
    select {{ ends }} from newly_junk
    {%- endif %}
),

supported as (
    select
        {{ ends }},
        array_agg(
            struct(occurred_at as occurred_at, source as source, event_id as event_id, synced_at as synced_at) order by occurred_at, source, event_id limit 1
        )[offset(0)] as earliest
    from (
        select
            candidates.*, a.occurred_at, a.source, a.event_id, a.synced_at
        from candidates
        join {{ identifiers }} as a
            on a.identifier_type = candidates.identifier_type_a and a.identifier_value = candidates.identifier_value_a and not a._removed
        join {{ identifiers }} as b
            on b.row_id = a.row_id
                and b.identifier_type = candidates.identifier_type_b and b.identifier_value = candidates.identifier_value_b
                and not b._removed
        left join {{ junk }} as junk_a
            on junk_a.identifier_type = candidates.identifier_type_a and junk_a.identifier_value = candidates.identifier_value_a
        left join {{ junk }} as junk_b
            on junk_b.identifier_type = candidates.identifier_type_b and junk_b.identifier_value = candidates.identifier_value_b
        where junk_a.id is null and junk_b.id is null
    ) as occurrences
    group by {{ ends }}
),

edges as (
    select {{ surrogate_key(ends.split(', ')) }} as edge_id, {{ ends }}, earliest, false as _removed from supported
    {%- if incremental %}
    union all
    select known.edge_id, {% for end in ends.split(', ') %}known.{{ end }}, {% endfor %}
        struct(known.occurred_at as occurred_at, known.source as source, known.event_id as event_id, known.synced_at as synced_at),
        true
    from {{ this }} as known
    join candidates using ({{ ends }})
    left join supported using ({{ ends }})
    where supported.earliest is null and not known._removed
    {%- endif %}
)

select
    edges.edge_id, {% for end in ends.split(', ') %}edges.{{ end }}, {% endfor %}
    node_a.node_id as node_a,
    node_b.node_id as node_b,
    edges.earliest.occurred_at as occurred_at,
    edges.earliest.source as source,
    edges.earliest.event_id as event_id,
    edges.earliest.synced_at as synced_at,
    edges._removed,
    {{ ingestion_columns() }}
from edges
join {{ nodes }} as node_a
    on node_a.identifier_type = edges.identifier_type_a and node_a.identifier_value = edges.identifier_value_a
join {{ nodes }} as node_b
    on node_b.identifier_type = edges.identifier_type_b and node_b.identifier_value = edges.identifier_value_b
{%- endmacro %}
