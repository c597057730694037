{#
  A row for each identifier of a relation's rows, with an id of its own.

  relation     has event_id, row_id, occurred_at, synced_at and the identifiers' columns; row_id groups the identifiers of
               one record, which belong to one person or group
  identifiers  {identifier type: column or expression}
  source, source_table  where the rows come from
#}
{% macro unpivot_identifiers(relation, identifiers, source, source_table) -%}
select distinct
    {{ surrogate_key(['row_id', 'identifier_type', 'identifier_value']) }} as id,
    event_id, row_id, identifier_type, identifier_value,
    '{{ source }}' as source, '{{ source_table }}' as source_table, occurred_at, synced_at
from (
    {%- for type, expression in identifiers.items() %}
    select
        event_id, row_id, '{{ type }}' as identifier_type,
        {{ normalised_identifier("'" ~ type ~ "'", expression) }} as identifier_value, occurred_at, synced_at
    from {{ relation }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
) as unpivoted
where identifier_value is not null
{%- endmacro %}

{# The identifiers of persons or groups of all sources. #}
{% macro core_identifiers(entity) -%}
with unioned as (
    {{ union_with_watermarks(sources_var=entity ~ '_identifier_sources') }}
)

select
    id,
    event_id,
    row_id,
    identifier_type,
    identifier_value,
    source,
    source_table,
    occurred_at,
    synced_at,
    source_ingested_at,
    _removed,
    {{ ingestion_columns() }}
from unioned
{%- endmacro %}
