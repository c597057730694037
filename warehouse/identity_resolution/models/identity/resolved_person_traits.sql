{{ config(cluster_by=['person_id'], meta={'realtime_delete': 'person_id in (select person_id from changed_persons)'}, pre_hook="{{ forget_changed_entities('person') }}") }}

{{ resolve_traits('person') }}
