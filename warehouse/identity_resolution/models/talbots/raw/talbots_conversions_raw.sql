{#
  The CRM replaces days as a whole and fixes change rows in place, without saying when: so rows are compared, not their time, and
  the time at which a row was first seen stands for synced_at. Conversions last updated before the refresh date are not taken in,
  unless a fix put them back.
#}
{{ config(enabled=delivers('talbots'), partition_by={'field': 'conversion_date', 'data_type': 'date'}) }}

with taken_in as (
    select *
    from (
        select
            conversion_id as id, conversion_date, order_id, email, phone, loyalty_id, store, channel, amount, currency, converted_at, updated_at,
            to_hex(md5(to_json_string(conversions))) as row_hash
        from {{ source('crm', 'conversions') }} as conversions
        where date(updated_at) >= {{ refresh_date() }}
            or conversion_id in (select conversion_id from {{ source('talbots', 'restored_conversion') }})
    ) as conversions
    {% if single_event() -%}
    where id = {{ single_event() }}
    {%- endif %}
)

select
    taken_in.*,
    current_timestamp() as synced_at,
    false as _removed,
    {{ ingestion_columns() }}
from taken_in
{% if single_event() -%}
{%- elif is_incremental() -%}
where not exists (
    select 1 from {{ this }} as known
    where known.id = taken_in.id and known.row_hash = taken_in.row_hash and not known._removed and not known._realtime
)
union all
select known.* replace (true as _removed, current_timestamp() as _ingested_at)
from {{ this }} as known
where not known._removed
    {% if rebuild_date() %}and date(known.updated_at) >= {{ rebuild_date() }}{% endif %}
    and not exists (select 1 from taken_in where taken_in.id = known.id)
{%- endif %}
