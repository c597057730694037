{# Real-time path: what runs before resolved_person_identifiers is written. #}
{{ config(enabled=true) }}

{{ resolve_entities('person', entity_changes(ref('resolved_person_identifiers')), ref('resolved_person_identifiers')) }}
