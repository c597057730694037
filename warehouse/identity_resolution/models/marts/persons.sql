{{ config(
    unique_key='person_id', cluster_by=['person_id'], meta={'realtime_delete': 'person_id in (select person_id from changed_persons)'},
    pre_hook="{{ forget_dead_entities('person') }}"
) }}

with {{ entity_facts('person') }},

named as (
    select
        person_id,
        max(if(trait_name = 'name', trait_value, null)) as name,
        max(if(trait_name = 'title', trait_value, null)) as title
    from traits
    group by person_id
),

called as (
    select
        person_id,
        {{ identifiers_of_type('email') }} as emails,
        {{ identifiers_of_type('phone') }} as phones,
        {{ identifiers_of_type('loyalty_id') }} as loyalty_ids
    from identifiers
    group by person_id
)

select
    called.person_id,
    named.name,
    named.title,
    called.emails,
    called.phones,
    called.loyalty_ids,
    activity.first_event_at,
    activity.last_event_at,
    activity.events,
    activity.sources,
    {{ ingestion_columns() }}
from called
left join named on named.person_id = called.person_id
left join activity on activity.person_id = called.person_id
