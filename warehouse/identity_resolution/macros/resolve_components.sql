{#
  One BigQuery script that numbers the conversions by age, joins those that share an identifier, and writes the least number
  of each connected component to `target`: (conversion_id, conversion_date, converted_at, number, component).

  Each round every node points to its least neighbour if that is less than itself. Pointers only lead downwards, so they
  form trees; once each points to its tree's root, a tree is contracted into its root. Every edge left joins two roots, a
  root that has edges takes in a neighbour in the next round or is taken in by one, and so the rounds end.
#}
{% macro resolve_components(conversions, target) %}
create or replace table {{ target }} as
select conversion_id, conversion_date, converted_at, number, number as component
from (
    select
        conversion_id, conversion_date, converted_at,
        row_number() over (order by converted_at, conversion_id) as number
    from ({{ conversions }}) as taken_in
) as numbered;

-- Everyone with the same identifier is joined to the oldest: a chain less, and three edges a conversion at most.
create or replace temp table identity_edges as
select distinct oldest as a, number as b
from (
    select c.number, min(c.number) over (partition by identifiers.kind, identifiers.identifier) as oldest
    from (
        select conversion_id, 'email' as kind, email as identifier from ({{ conversions }}) as with_email
        union all
        select conversion_id, 'phone', phone from ({{ conversions }}) as with_phone
        union all
        select conversion_id, 'loyalty', loyalty_id from ({{ conversions }}) as with_loyalty
    ) as identifiers
    join {{ target }} as c on c.conversion_id = identifiers.conversion_id
    where identifiers.identifier is not null
) as joined
where oldest <> number;

loop
    if not exists (select 1 from identity_edges) then leave; end if;

    create or replace temp table identity_pointers as
    select node, least(node, min(neighbour)) as pointer
    from (
        select a as node, b as neighbour from identity_edges
        union all
        select b, a from identity_edges
    ) as both_ways
    group by node;

    loop
        -- Each pass doubles the reach of a pointer three times: trees are seldom deeper than eight.
        create or replace temp table identity_pointers as
        with twice as (
            select x.node, y.pointer from identity_pointers as x join identity_pointers as y on y.node = x.pointer
        ),
        four_times as (
            select x.node, y.pointer from twice as x join twice as y on y.node = x.pointer
        )
        select x.node, y.pointer from four_times as x join four_times as y on y.node = x.pointer;

        if not exists (
            select 1 from identity_pointers as x join identity_pointers as y on y.node = x.pointer
            where y.pointer <> x.pointer
        ) then leave; end if;
    end loop;

    create or replace table {{ target }} as
    select c.conversion_id, c.conversion_date, c.converted_at, c.number, coalesce(p.pointer, c.component) as component
    from {{ target }} as c
    left join identity_pointers as p on p.node = c.component;

    create or replace temp table identity_edges as
    select distinct least(x.pointer, y.pointer) as a, greatest(x.pointer, y.pointer) as b
    from identity_edges as e
    join identity_pointers as x on x.node = e.a
    join identity_pointers as y on y.node = e.b
    where x.pointer <> y.pointer;
end loop;
{% endmacro %}
