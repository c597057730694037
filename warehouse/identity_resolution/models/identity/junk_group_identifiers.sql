{{ config(enabled=delivered('group_identifier_sources') | length > 0) }}

{{ junk_identifiers('group') }}
