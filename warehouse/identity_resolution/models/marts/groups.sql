{{ config(
    enabled=delivered('group_identifier_sources') | length > 0,
    unique_key='group_id', cluster_by=['group_id'], meta={'realtime_delete': 'group_id in (select group_id from changed_groups)'},
    pre_hook="{{ forget_dead_entities('group') }}"
) }}

with {{ entity_facts('group') }},

named as (
    select
        group_id,
        max(if(trait_name = 'name', trait_value, null)) as name,
        max(if(trait_name = 'industry', trait_value, null)) as industry,
        max(if(trait_name = 'plan', trait_value, null)) as plan,
        max(if(trait_name = 'country', trait_value, null)) as country
    from traits
    group by group_id
),

called as (
    select
        group_id,
        {{ identifiers_of_type('domain') }} as domains,
        {{ identifiers_of_type('shop_id') }} as shop_ids
    from identifiers
    group by group_id
)

select
    called.group_id,
    named.name,
    named.industry,
    named.plan,
    named.country,
    called.domains,
    called.shop_ids,
    activity.first_event_at,
    activity.last_event_at,
    activity.events,
    activity.sources,
    {{ ingestion_columns() }}
from called
left join named on named.group_id = called.group_id
left join activity on activity.group_id = called.group_id
