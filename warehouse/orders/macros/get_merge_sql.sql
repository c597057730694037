{#
  The MERGE of every incremental model here. Two things differ from dbt's own:

  - A known row is only changed by a newer version of it. As the newest version stays whatever is merged before or after it, days may be
    merged in any order and any number of times.
  - A model without `incremental_predicates` is looked through in those partitions alone that hold rows of the keys now. These are looked
    up first, by key, because the partition of a known row need not be that of its new version: an order that moves
    to another date is found where it lies, changed, and so moved.
#}
{% macro bigquery__get_merge_sql(target, source, unique_key, dest_columns, incremental_predicates=none) -%}
{%- set predicates = incremental_predicates or [in_partitions_of_keys(target, source, unique_key)] -%}
{%- set columns = get_quoted_csv(dest_columns | map(attribute='name')) -%}
merge into {{ target }} as DBT_INTERNAL_DEST
using {{ source }} as DBT_INTERNAL_SOURCE
on DBT_INTERNAL_SOURCE.{{ unique_key }} = DBT_INTERNAL_DEST.{{ unique_key }}
    {%- for predicate in predicates %} and {{ predicate }}{% endfor %}
when matched and DBT_INTERNAL_SOURCE.version > DBT_INTERNAL_DEST.version then update set
    {%- for column in dest_columns %}
    {{ adapter.quote(column.name) }} = DBT_INTERNAL_SOURCE.{{ adapter.quote(column.name) }}{% if not loop.last %},{% endif %}
    {%- endfor %}
when not matched then insert ({{ columns }}) values ({{ columns }})
{%- endmacro %}

{# A predicate on the target's partition column that holds for every row whose key is one of the source's. The lookup reads
   two columns of the target, so that the merge reads all columns of a few partitions. #}
{% macro in_partitions_of_keys(target, source, unique_key) -%}
{%- set field = config.get('partition_by').field -%}
{%- set held = run_query(
    'select distinct ' ~ field ~ ' as day from ' ~ target
    ~ ' where ' ~ unique_key ~ ' in (select ' ~ unique_key ~ ' from ' ~ source ~ ') order by day'
) -%}
{%- set days = held.columns[0].values() -%}
{%- if days -%}
DBT_INTERNAL_DEST.{{ field }} in ({% for day in days %}date '{{ day }}'{% if not loop.last %}, {% endif %}{% endfor %})
{%- else -%}
false
{%- endif -%}
{%- endmacro %}
