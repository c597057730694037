{#
  A row for each trait of each of a relation's rows, those without a value included: wide into long.

  relation  a model or subquery with `keys` and a column per trait
  traits    names of the trait columns
  keys      columns that every row keeps
#}
{% macro unpivot_traits(relation, traits, keys) -%}
select
    {{ keys | join(', ') }},
    trait.trait_name,
    trait.trait_value
from {{ relation }} as wide
cross join unnest([
    {%- for trait in traits %}
    struct('{{ trait }}' as trait_name, cast(wide.{{ trait }} as string) as trait_value){% if not loop.last %},{% endif %}
    {%- endfor %}
]) as trait
{%- endmacro %}

{# The trait columns of all delivered sources of a list, in order: whatever isn't one of the columns that trait models share. #}
{% macro trait_columns(sources_var) %}
{%- set shared = ['id', 'event_id', 'identifier_type', 'identifier_value', 'source', 'source_table', 'occurred_at', 'synced_at',
    '_removed', '_realtime', '_ingested_at'] -%}
{%- set traits = [] -%}
{%- for entry in delivered(sources_var) -%}
    {%- for column in described_columns(entry.name) if column not in shared and column not in traits -%}
        {%- do traits.append(column) -%}
    {%- endfor -%}
{%- endfor -%}
{{ return(traits or ['name']) }}
{% endmacro %}

{# The traits of persons or groups of all sources, a row each; those that an event no longer tells are without a value there. #}
{% macro core_traits(entity) -%}
{%- set sources_var = entity ~ '_trait_sources' -%}
with unioned as (
    {{ union_with_watermarks(sources_var=sources_var) }}
),

long as (
    {{ unpivot_traits(
        'unioned',
        trait_columns(sources_var),
        ['id', 'event_id', 'identifier_type', 'identifier_value', 'source', 'source_table', 'occurred_at', 'synced_at', 'source_ingested_at', '_removed']
    ) }}
)

-- A trait that an event no longer tells is one without a value that is known.
select
    {{ surrogate_key(['id', 'trait_name']) }} as id,
    event_id,
    identifier_type,
    identifier_value,
    trait_name,
    trait_value,
    source,
    source_table,
    occurred_at,
    synced_at,
    source_ingested_at,
    _removed or trait_value is null as _removed,
    {{ ingestion_columns() }}
from long
where trait_value is not null
    {%- if realtime() or is_incremental() %}
    or {{ surrogate_key(['id', 'trait_name']) }} in (select known.id from {{ this }} as known)
    {%- endif %}
{%- endmacro %}
