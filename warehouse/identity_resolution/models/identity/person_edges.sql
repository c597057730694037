{{ config(unique_key='edge_id', cluster_by=['edge_id']) }}

{{ create_and_dedup_edges('person') }}
