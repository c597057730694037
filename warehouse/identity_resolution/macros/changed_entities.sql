{#
  Persons or groups about which something is new since this model was last built, as a subquery with the column <entity>_id: who
  they are, what they are called, where they are members. Entities that gave way to others are among them.
#}
{% macro changed_entities(entity) -%}
{%- set id = entity ~ '_id' -%}
{#- Always worked out, so that dbt knows of every model that it reads. -#}
{%- set of_new_rows = entities_of_new_rows(entity) -%}
{%- if realtime() -%}
changed_{{ entity }}s
{%- elif not is_incremental() -%}
(select distinct {{ id }} from {{ ref('resolved_' ~ entity ~ '_identifiers') }})
{%- else -%}
(
    {{ of_new_rows }}
)
{%- endif -%}
{%- endmacro %}

{# The same, worked out from the new rows of the models that it follows from. #}
{% macro entities_of_new_rows(entity) -%}
{%- set id = entity ~ '_id' -%}
{%- set resolved = ref('resolved_' ~ entity ~ '_identifiers') -%}
select changed.{{ id }} from {{ new_rows('resolved_' ~ entity ~ '_identifiers') }} as changed
union distinct
select merged.from_entity_id from {{ new_merges(entity) }} as merged where merged.entity_type = '{{ entity }}'
union distinct
select merged.to_entity_id from {{ new_merges(entity) }} as merged where merged.entity_type = '{{ entity }}'
{%- for model in [entity ~ '_identifiers', entity ~ '_traits', 'junk_' ~ entity ~ '_identifiers'] %}
union distinct
select resolved.{{ id }}
from {{ resolved }} as resolved
join {{ new_rows(model) }} as new_rows
    on new_rows.identifier_type = resolved.identifier_type and new_rows.identifier_value = resolved.identifier_value
{%- endfor %}
{%- if delivered('membership_identifier_sources') %}
union distinct
select resolved.{{ id }}
from {{ resolved }} as resolved
join {{ new_rows('membership_identifiers') }} as new_rows
    on new_rows.{{ entity }}_identifier_type = resolved.identifier_type and new_rows.{{ entity }}_identifier = resolved.identifier_value
{%- endif %}
{%- endmacro %}

{# What was joined or split since this model was last built. #}
{% macro new_merges(entity) -%}
{%- set logged = new_rows('entity_merges') -%}
{{ 'new_' ~ entity ~ '_merges' if realtime() else logged }}
{%- endmacro %}

{# Identifiers with their person or group, as a subquery; without junk, and without those that every source took back. #}
{% macro live_identifiers(entity) -%}
(
    select resolved.{{ entity }}_id, resolved.identifier_type, resolved.identifier_value
    from {{ ref('resolved_' ~ entity ~ '_identifiers') }} as resolved
    left join {{ ref('junk_' ~ entity ~ '_identifiers') }} as junk
        on junk.identifier_type = resolved.identifier_type and junk.identifier_value = resolved.identifier_value
    where junk.id is null
        and exists (
            select 1 from {{ ref(entity ~ '_identifiers') }} as told
            where told.identifier_type = resolved.identifier_type and told.identifier_value = resolved.identifier_value and not told._removed
        )
)
{%- endmacro %}
