{# Real-time path: what runs before resolved_group_identifiers is written. #}
{{ config(enabled=delivered('group_identifier_sources') | length > 0) }}

{{ resolve_entities('group', entity_changes(ref('resolved_group_identifiers')), ref('resolved_group_identifiers')) }}
