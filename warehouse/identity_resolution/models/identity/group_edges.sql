{{ config(enabled=delivered('group_identifier_sources') | length > 0, unique_key='edge_id', cluster_by=['edge_id']) }}

{{ create_and_dedup_edges('group') }}
