{{ config(unique_key='node_id', full_refresh=false, cluster_by=['identifier_value']) }}

{{ number_identifiers('person') }}
