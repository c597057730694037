{#
  Rows of a source table that the raw model has not read, as a subquery; `id` identifies an event.

  Not strict: rows that arrived at the very time of the newest one read may not all have been read, so that time is read again and
  what is there already is left out. Of several versions of a row the one that arrived last counts.
  With a `refresh_date` after the placeholder, everything that arrived from that day on is read again.
#}
{% macro incremental_source_filter(relation) -%}
(
    select arrived.*
    from {{ relation }} as arrived
    where true -- BigQuery has no qualify without a where
    {%- if single_event() %}
        and arrived.id = {{ single_event() }}
    {%- elif is_incremental() and rebuild_date() %}
        and arrived.synced_at >= timestamp({{ rebuild_date() }})
    {%- elif is_incremental() %}
        and arrived.synced_at >= (
            select coalesce(max(read.synced_at), timestamp '1970-01-01') from {{ this }} as read where not read._realtime
        )
        and not exists (
            select 1 from {{ this }} as read
            where read.id = arrived.id and read.synced_at = arrived.synced_at and not read._realtime
        )
    {%- endif %}
    qualify row_number() over (
        partition by arrived.id order by arrived.synced_at desc, to_json_string(arrived) desc
    ) = 1
)
{%- endmacro %}

{# Rows of the raw model that a rebuild no longer finds in the source, as a `union all` to its new rows; nothing otherwise. #}
{% macro removed_from_source(relation) -%}
{% if not single_event() and rebuild_date() and is_incremental() %}
union all
select read.* replace (true as _removed, false as _realtime, current_timestamp() as _ingested_at)
from {{ this }} as read
where read.synced_at >= timestamp({{ rebuild_date() }})
    and not read._removed
    and not exists (select 1 from {{ relation }} as arrived where arrived.id = read.id)
{% endif %}
{%- endmacro %}

{# `refresh_date` as SQL. Anything but a day of the calendar fails while parsing, before a statement runs. #}
{% macro refresh_date() -%}
{%- set day = modules.datetime.datetime.strptime(var('refresh_date') | string, '%Y-%m-%d') -%}
date '{{ day.strftime('%Y-%m-%d') }}'
{%- endmacro %}

{# The day from which a rebuild is asked for, as SQL, or nothing while `refresh_date` is the placeholder or before it. #}
{% macro rebuild_date() %}
{{ return(refresh_date() if var('refresh_date') | string > var('refresh_placeholder') | string else none) }}
{% endmacro %}
