{{ config(cluster_by=['identifier_value']) }}

{{ core_traits('person') }}
