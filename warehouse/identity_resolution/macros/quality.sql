{# The kinds of entities that the client's sources tell of. #}
{% macro measured_entities() %}
{{ return(['person', 'group'] if delivered('group_identifier_sources') else ['person']) }}
{% endmacro %}

{# How many identifiers of each type every person or group has, without junk and what was taken back: (entity_id, identifier_type, identifiers). #}
{% macro identifier_counts(entity) -%}
select live.{{ entity }}_id as entity_id, live.identifier_type, count(*) as identifiers
from {{ live_identifiers(entity) }} as live
group by live.{{ entity }}_id, live.identifier_type
{%- endmacro %}
