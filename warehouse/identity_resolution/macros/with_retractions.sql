{#
  What an event says now, and what it said before and no longer does: the latter marked `_removed`, so that all that was concluded
  from it can be taken back. Rows of this model have an id and the event_id.

  fresh   name of a CTE with the rows of the events that are read now, without the columns that every model ends with
  events  a table or subquery of those events: (id, _removed); an event that was removed says nothing any more
#}
{% macro with_retractions(fresh, events) -%}
select
    fresh.*,
    false as _removed,
    {{ ingestion_columns() }}
from {{ fresh }} as fresh
where fresh.event_id in (select read.id from {{ events }} as read where not read._removed)
{%- if realtime() or is_incremental() %}
union all
select known.* replace (true as _removed, {{ 'true' if single_event() else 'false' }} as _realtime, current_timestamp() as _ingested_at)
from {{ this }} as known
where not known._removed
    and known.event_id in (select read.id from {{ events }} as read)
    and not exists (
        select 1
        from {{ fresh }} as fresh
        join {{ events }} as read on read.id = fresh.event_id and not read._removed
        where fresh.id = known.id
    )
{%- endif %}
{%- endmacro %}
