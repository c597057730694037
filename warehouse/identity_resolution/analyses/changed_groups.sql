{# Real-time path: the groups that the event touches, worked out once the identifiers are resolved. #}
{{ config(enabled=delivered('group_identifier_sources') | length > 0) }}

{{ entities_of_new_rows('group') }}
