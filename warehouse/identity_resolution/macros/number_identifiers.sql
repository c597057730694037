{#
  Numbers identifiers in the order in which they were first seen. The least number in a component names the entity, so the
  oldest name wins by itself. A number is never given twice and never taken back, not by a full refresh either.
#}
{% macro number_identifiers(entity) -%}
with seen as (
    select identifier_type, identifier_value, min(occurred_at) as first_occurred_at
    from {{ new_rows(entity ~ '_identifiers') }}
    where not _removed
    group by identifier_type, identifier_value
)

select
    {% if realtime() or is_incremental() -%}
    (select coalesce(max(known.node_id), 0) from {{ this }} as known) +
    {%- endif %}
    row_number() over (order by first_occurred_at, identifier_type, identifier_value) as node_id,
    identifier_type,
    identifier_value,
    {{ ingestion_columns() }}
from seen
{%- if realtime() or is_incremental() %}
where not exists (
    select 1 from {{ this }} as known
    where known.identifier_type = seen.identifier_type and known.identifier_value = seen.identifier_value
)
{%- endif %}
{%- endmacro %}
