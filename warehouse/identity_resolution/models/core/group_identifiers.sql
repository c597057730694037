{{ config(enabled=delivered('group_identifier_sources') | length > 0, cluster_by=['identifier_value']) }}

{{ core_identifiers('group') }}
