{#
  The latest value of each trait of each changed person or group. Of values that are equally late the one that arrived later counts,
  then the greater by source and value, so that the order of arrival within a batch makes no difference.
#}
{% macro resolve_traits(entity) -%}
{%- set id = entity ~ '_id' -%}
select
    {{ surrogate_key([id, 'trait_name']) }} as id,
    {{ id }}, trait_name, trait_value, source, event_id, occurred_at, synced_at,
    {{ ingestion_columns() }}
from (
    select resolved.{{ id }}, traits.trait_name, traits.trait_value, traits.source, traits.event_id, traits.occurred_at, traits.synced_at
    from {{ ref(entity ~ '_traits') }} as traits
    join {{ ref('resolved_' ~ entity ~ '_identifiers') }} as resolved
        on resolved.identifier_type = traits.identifier_type and resolved.identifier_value = traits.identifier_value
    left join {{ ref('junk_' ~ entity ~ '_identifiers') }} as junk
        on junk.identifier_type = traits.identifier_type and junk.identifier_value = traits.identifier_value
    where not traits._removed
        and junk.id is null
        and resolved.{{ id }} in (select changed.{{ id }} from {{ changed_entities(entity) }} as changed)
) as resolved_traits
where true -- BigQuery has no qualify without a where
qualify row_number() over (
    partition by {{ id }}, trait_name order by occurred_at desc, synced_at desc, source desc, event_id desc, trait_value desc
) = 1
{%- endmacro %}
