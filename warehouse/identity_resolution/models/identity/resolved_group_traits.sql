{{ config(enabled=delivered('group_identifier_sources') | length > 0, cluster_by=['group_id'], meta={'realtime_delete': 'group_id in (select group_id from changed_groups)'}, pre_hook="{{ forget_changed_entities('group') }}") }}

{{ resolve_traits('group') }}
