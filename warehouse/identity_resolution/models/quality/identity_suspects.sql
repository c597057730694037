{%- set names = var('suspect_names') | int -%}
with components as (
    select
        counted.*,
        row_number() over (partition by entity_type order by identifiers desc, entity_id) as place
    from (
        {%- for entity in measured_entities() %}
        select
            '{{ entity }}' as entity_type,
            entity_id,
            sum(identifiers) as identifiers,
            sum(if('{{ entity }}' = 'person' and identifier_type = 'loyalty_id', identifiers, 0)) as loyalty_ids,
            string_agg(concat(cast(identifiers as string), ' ', identifier_type), ', ' order by identifiers desc, identifier_type) as makeup
        from ({{ identifier_counts(entity) }}) as counts
        group by entity_id
        {%- if not loop.last %}
        union all
        {%- endif %}
        {%- endfor %}
    ) as counted
),

-- What differs by case or surrounding blanks only is one name.
named as (
    select resolved.person_id, count(distinct lower(trim(traits.trait_value))) as names
    from {{ ref('person_traits') }} as traits
    join {{ ref('resolved_person_identifiers') }} as resolved
        on resolved.identifier_type = traits.identifier_type and resolved.identifier_value = traits.identifier_value
    where traits.trait_name = 'name' and not traits._removed
    group by resolved.person_id
    having names > {{ names }}
)

-- Counts only: what identifies people or names them stays where it is.
select
    {{ surrogate_key(['components.entity_type', 'components.entity_id', 'found.reason']) }} as id,
    components.entity_type,
    components.entity_id,
    found.reason,
    found.detail,
    components.identifiers,
    current_timestamp() as _ingested_at
from components
left join named on components.entity_type = 'person' and named.person_id = components.entity_id
cross join unnest([
    struct('loyalty_ids' as reason, if(components.loyalty_ids > 1, concat(cast(components.loyalty_ids as string), ' loyalty ids'), null) as detail),
    struct('names' as reason, concat(cast(named.names as string), ' names') as detail),
    struct('largest' as reason, if(components.place <= {{ var('suspect_largest') | int }}, components.makeup, null) as detail)
]) as found
where found.detail is not null
