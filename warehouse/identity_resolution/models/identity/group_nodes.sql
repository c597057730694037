{{ config(enabled=delivered('group_identifier_sources') | length > 0, unique_key='node_id', full_refresh=false, cluster_by=['identifier_value']) }}

{{ number_identifiers('group') }}
