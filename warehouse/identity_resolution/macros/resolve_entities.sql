{#
  One BigQuery script that finds which entities the new edges join, exactly, whatever the graph looks like, and leaves the nodes
  whose entity changes in `changes`: (node_id, entity_id). It runs before resolved_<entity>_identifiers is merged, and logs joined
  and split entities first, so that a build that dies in between neither loses nor repeats one.

  Each round every node points to the least of its neighbours in an order that differs from round to round, follows such pointers up
  to four steps, and the graph shrinks to where they end, until no edge is left. Where pointers lead is always within the
  component, so the order decides only how many rounds it takes: about the logarithm of the longest way through the graph.

  Known entities enter as a single node, so a day costs what its edges touch. Entities that lost an edge enter with all of theirs.
#}
{% macro resolve_entities(entity, changes, resolved=this) -%}
{%- set id = entity ~ '_id' -%}
{%- set edges = ref(entity ~ '_edges') -%}
{%- set nodes = ref(entity ~ '_nodes') -%}
{%- set merges = ref('entity_merges') -%}
{%- set known = realtime() or is_incremental() -%}
declare v_round int64 default 0;
declare v_mul int64;
declare v_add int64;

create or replace temp table cc_new_nodes as
select nodes.node_id from {{ new_rows(entity ~ '_nodes') }} as nodes
{%- if known %}
where not exists (select 1 from {{ resolved }} as resolved where resolved.node_id = nodes.node_id)
{%- endif %};

{% if known -%}
create or replace temp table cc_new_edges as
select edge_id, node_a, node_b, occurred_at, _removed from {{ new_rows(entity ~ '_edges') }} as edges;

-- Nodes of entities that lost an edge: each stands for itself again.
create or replace temp table cc_reopened as
select resolved.node_id, resolved.{{ id }} as entity_id
from {{ resolved }} as resolved
where resolved.{{ id }} in (
    select touched.{{ id }} from {{ resolved }} as touched join cc_new_edges as gone on gone._removed and gone.node_a = touched.node_id
);

create or replace temp table cc_joins as
select
    edges.edge_id, edges.occurred_at,
    case when reopened_a.node_id is null then coalesce(resolved_a.{{ id }}, edges.node_a) else edges.node_a end as a,
    case when reopened_b.node_id is null then coalesce(resolved_b.{{ id }}, edges.node_b) else edges.node_b end as b
from (
    select edge_id, occurred_at, node_a, node_b from cc_new_edges where not _removed
    union distinct
    select all_edges.edge_id, all_edges.occurred_at, all_edges.node_a, all_edges.node_b
    from {{ edges }} as all_edges
    join cc_reopened as reopened on reopened.node_id = all_edges.node_a
    where not all_edges._removed
) as edges
left join {{ resolved }} as resolved_a on resolved_a.node_id = edges.node_a
left join {{ resolved }} as resolved_b on resolved_b.node_id = edges.node_b
left join cc_reopened as reopened_a on reopened_a.node_id = edges.node_a
left join cc_reopened as reopened_b on reopened_b.node_id = edges.node_b;

create or replace temp table cc_graph as
select distinct least(a, b) as u, greatest(a, b) as v from cc_joins where a <> b;
{%- else -%}
create or replace temp table cc_graph as
select distinct least(node_a, node_b) as u, greatest(node_a, node_b) as v
from {{ edges }}
where not _removed;
{%- endif %}

create or replace temp table cc_steps (step int64, u int64, root int64);
loop
    if not exists (select 1 from cc_graph) then leave; end if;
    set v_round = v_round + 1;
    if v_round > 64 then select error('connected components did not end within 64 rounds'); end if;
    set v_mul = 300000007 + mod(cast(v_round as int64) * 618033989, 1500000001);
    set v_add = mod(cast(v_round as int64) * 123456791, 2147483647);

    create or replace temp table cc_pointers as
    select u, min_by(v, mod(v * v_mul + v_add, 2147483647)) as p
    from (select u, v from cc_graph union all select v as u, u as v from cc_graph) as both_ways
    group by u;

    insert into cc_steps (step, u, root)
    select
        v_round, p0.u,
        case
            when p1.p = p0.u then least(p0.u, p0.p)
            when p2.p = p0.p then least(p0.p, p1.p)
            when p3.p = p1.p then least(p1.p, p2.p)
            when p4.p = p2.p then least(p2.p, p3.p)
            else p4.p
        end
    from cc_pointers as p0
    join cc_pointers as p1 on p1.u = p0.p
    join cc_pointers as p2 on p2.u = p1.p
    join cc_pointers as p3 on p3.u = p2.p
    join cc_pointers as p4 on p4.u = p3.p;

    create or replace temp table cc_graph as
    select distinct least(x.root, y.root) as u, greatest(x.root, y.root) as v
    from cc_graph as graph
    join cc_steps as x on x.step = v_round and x.u = graph.u
    join cc_steps as y on y.step = v_round and y.u = graph.v
    where x.root <> y.root;
end loop;

create or replace temp table cc_labels as
with recursive walk as (
    select u, root, step from cc_steps where step = 1
    union all
    select walk.u, steps.root, steps.step from walk join cc_steps as steps on steps.step = walk.step + 1 and steps.u = walk.root
)
select u, min(u) over (partition by root) as label
from (select u, max_by(root, step) as root from walk group by u) as ends;

create or replace {{ 'temp ' if realtime() }}table {{ changes }} as
select new_nodes.node_id, coalesce(labels.label, new_nodes.node_id) as entity_id
from cc_new_nodes as new_nodes
left join cc_labels as labels on labels.u = new_nodes.node_id
{%- if known %}
union all
select reopened.node_id, coalesce(labels.label, reopened.node_id)
from cc_reopened as reopened
left join cc_labels as labels on labels.u = reopened.node_id
where coalesce(labels.label, reopened.node_id) <> reopened.entity_id
union all
select resolved.node_id, labels.label
from {{ resolved }} as resolved
join cc_labels as labels on labels.u = resolved.{{ id }} and labels.label <> labels.u
where resolved.node_id not in (select node_id from cc_reopened)
{%- endif %};

{% if known -%}
create or replace temp table new_{{ entity }}_merges as
select
    {{ surrogate_key([
        "'" ~ entity ~ "'", 'found.change', 'found.from_entity_id', 'found.to_entity_id', 'found.edge_id', 'coalesce(earlier.times, 0)'
    ]) }} as id,
    '{{ entity }}' as entity_type, found.change, found.from_entity_id, found.to_entity_id, found.edge_id,
    {{ ingestion_columns() }}
from (
    -- The oldest edge that leads out of the entity that gave way.
    select 'merged' as change, moved.entity_id as from_entity_id, moved.label as to_entity_id,
        array_agg(joins.edge_id order by joins.occurred_at, joins.edge_id limit 1)[offset(0)] as edge_id
    from (
        select distinct resolved.{{ id }} as entity_id, labels.label
        from {{ resolved }} as resolved
        join cc_labels as labels on labels.u = resolved.{{ id }} and labels.label <> labels.u
        where resolved.node_id = resolved.{{ id }}
    ) as moved
    join cc_joins as joins on joins.a <> joins.b and moved.entity_id in (joins.a, joins.b)
    group by 2, 3
    union all
    -- A part that does not go where the entity itself goes; of the edges that are gone, the oldest.
    select 'split', parts.entity_id, parts.part, array_agg(gone.edge_id order by gone.occurred_at, gone.edge_id limit 1)[offset(0)]
    from (
        select distinct reopened.entity_id, changed.entity_id as part
        from cc_reopened as reopened
        join {{ changes }} as changed on changed.node_id = reopened.node_id
        left join cc_labels as labels on labels.u = reopened.entity_id
        where changed.entity_id <> coalesce(labels.label, reopened.entity_id)
    ) as parts
    join cc_reopened as member on member.entity_id = parts.entity_id
    join cc_new_edges as gone on gone._removed and gone.node_a = member.node_id
    group by 2, 3
) as found
-- What was logged before the last build ended happened then; what a build logged that died afterwards is what is found now.
left join (
    select logged.change, logged.from_entity_id, logged.to_entity_id, logged.edge_id, count(*) as times
    from {{ merges }} as logged
    where logged.entity_type = '{{ entity }}' and logged._ingested_at <= (select max(resolved._ingested_at) from {{ resolved }} as resolved)
    group by 1, 2, 3, 4
) as earlier
    on earlier.change = found.change and earlier.from_entity_id = found.from_entity_id
        and earlier.to_entity_id = found.to_entity_id and earlier.edge_id = found.edge_id;

insert into {{ merges }} (id, entity_type, change, from_entity_id, to_entity_id, edge_id, _realtime, _ingested_at)
select id, entity_type, change, from_entity_id, to_entity_id, edge_id, _realtime, _ingested_at
from new_{{ entity }}_merges as found
where not exists (select 1 from {{ merges }} as logged where logged.id = found.id);
{%- endif %}
{%- endmacro %}

{# After the merge: nothing is left of the script's result. #}
{% macro drop_entity_changes(model) -%}
drop table if exists {{ entity_changes(model) }}
{%- endmacro %}

{# Where the script leaves its result: beside the model, or on the real-time path in a temporary table. #}
{% macro entity_changes(model) -%}
{{ 'changes_of_' ~ model.identifier if realtime() else model.incorporate(path={'identifier': model.identifier ~ '__changes'}) }}
{%- endmacro %}
