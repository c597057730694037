{#
  All sources of a list in one `union all`, each filtered by its own watermark: what the target has of that source.

  sources_var        var with the list of sources: [{name: model, source: name of the source}]
  source_field       column of the sources that is compared
  target_field       its name in the result, and the target's column that it is compared with
  override_var       var that switches the filter off when true: everything is read again
  target_model       what the sources are compared with
  dev_only           whether override_var works in the target named dev only
  template_relation  model whose described columns are selected, in their order; otherwise every column that any source has

  A column that a source doesn't have is null. Columns are those described in the project: no query asks for them.
#}
{% macro union_with_watermarks(
    sources_var, source_field='_ingested_at', target_field='source_ingested_at', override_var='override_incremental',
    target_model=this, dev_only=true, template_relation=none
) -%}
{%- set sources = delivered(sources_var) -%}
{%- set override = var(override_var, false) and (target.name == 'dev' or not dev_only) -%}
{%- set names = sources | map(attribute='name') | list -%}
{%- set columns = [] -%}
{%- for name in ([template_relation.identifier] if template_relation else names) -%}
    {%- for column in described_columns(name) if column not in columns and column not in [source_field, target_field, '_realtime'] -%}
        {%- do columns.append(column) -%}
    {%- endfor -%}
{%- endfor -%}
{%- for entry in sources %}
{%- set relation = ref(entry.name) -%}
{%- set own = described_columns(entry.name) %}
select
    {% for column in columns -%}
    {{ column if column in own else 'null as ' ~ column }},
    {% endfor -%}
    {{ source_field }} as {{ target_field }}
{%- if realtime() %}
from {{ new_rows(entry.name) }}
{%- else %}
from {{ relation }}
{%- if is_incremental() and not override %}
where {{ source_field }} > (
    select coalesce(max({{ target_field }}), timestamp '1970-01-01')
    from {{ target_model }} where source = '{{ entry.source }}' and not _realtime
)
{%- endif %}
{%- endif %}
{%- if not loop.last %}
union all
{%- endif %}
{%- endfor %}
{%- endmacro %}

{# The columns of a model as its properties describe them; none while dbt parses. #}
{% macro described_columns(model) %}
{%- if not execute -%}{{ return([]) }}{%- endif -%}
{%- set node = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | selectattr('name', 'equalto', model) | first -%}
{{ return(node.columns.keys() | list) }}
{% endmacro %}
