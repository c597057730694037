{#
  Identifiers of persons or groups (`entity`) that tell nobody apart: those listed in the seed junk_identifiers, and those linked
  directly to more than `identifier_limit` others. Only identifiers of new rows are judged; what is junk once stays so.
#}
{% macro junk_identifiers(entity) -%}
{%- set identifiers = ref(entity ~ '_identifiers') -%}
with touched as (
    select distinct identifier_type, identifier_value from {{ new_rows(entity ~ '_identifiers') }} where not _removed
),

listed as (
    select touched.identifier_type, touched.identifier_value, 'listed' as reason, junk.why as detail
    from touched
    join (
        select identifier_type, {{ normalised_identifier('identifier_type', 'identifier_value') }} as identifier_value, min(why) as why
        from {{ ref('junk_identifiers') }}
        group by 1, 2
    ) as junk
        on junk.identifier_type = touched.identifier_type and junk.identifier_value = touched.identifier_value
),

shared as (
    select
        touched.identifier_type, touched.identifier_value, 'shared' as reason,
        'linked to more than {{ var("identifier_limit") | int }} others' as detail
    from touched
    join {{ identifiers }} as own
        on own.identifier_type = touched.identifier_type and own.identifier_value = touched.identifier_value and not own._removed
    join {{ identifiers }} as other
        on other.row_id = own.row_id and other.id <> own.id and not other._removed
    group by 1, 2
    having count(distinct concat(other.identifier_type, ' ', other.identifier_value)) > {{ var('identifier_limit') | int }}
)

select
    {{ surrogate_key(['identifier_type', 'identifier_value']) }} as id,
    identifier_type, identifier_value, min(reason) as reason, min_by(detail, reason) as detail,
    {{ ingestion_columns() }}
from (select * from listed union all select * from shared) as junk
{%- if realtime() or is_incremental() %}
where not exists (
    select 1 from {{ this }} as known
    where known.identifier_type = junk.identifier_type and known.identifier_value = junk.identifier_value
)
{%- endif %}
group by identifier_type, identifier_value
{%- endmacro %}
