{{ config(unique_key='node_id', cluster_by=['node_id'], pre_hook="{{ resolve_entities('person', entity_changes(this)) }}", post_hook="{{ drop_entity_changes(this) }}") }}

-- depends_on: {{ ref('person_edges') }} {{ ref('entity_merges') }}
select
    changes.node_id,
    nodes.identifier_type,
    nodes.identifier_value,
    changes.entity_id as person_id,
    {{ ingestion_columns() }}
from {{ entity_changes(this) }} as changes
join {{ ref('person_nodes') }} as nodes on nodes.node_id = changes.node_id
