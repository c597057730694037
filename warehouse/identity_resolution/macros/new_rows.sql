{# The event that is processed by itself, as SQL, or nothing. Var `event_id` is the id itself, for `dbt run`; var
   `realtime_event_id` is the name of a query parameter such as @event_id, for SQL that is compiled once and run for many. #}
{% macro single_event() %}
{%- set parameter = var('realtime_event_id', none) -%}
{%- set id = var('event_id', none) -%}
{%- if parameter is not none -%}
    {%- if not modules.re.match('^@[a-z_]+$', parameter | string) -%}
        {{ exceptions.raise_compiler_error("realtime_event_id must be the name of a query parameter, such as @event_id.") }}
    {%- endif -%}
    {{ return(parameter) }}
{%- elif id is not none -%}
    {{ return("r'''" ~ id ~ "'''" if modules.re.match('^[A-Za-z0-9_.:/@-]+$', id | string) else exceptions.raise_compiler_error("event_id may hold letters, digits and _.:/@- only.")) }}
{%- endif -%}
{{ return(none) }}
{% endmacro %}

{# Whether this is compiled for the real-time path, where the new rows of each model stand in a temporary table `new_<model>`.
   `dayfill compile-models` puts an empty subquery in the place of those that do not follow from the event's source. #}
{% macro realtime() %}
{{ return(var('realtime_event_id', none) is not none) }}
{% endmacro %}

{# When this model was last built by a batch; what single events wrote doesn't count. #}
{% macro last_built() -%}
(select coalesce(max(_ingested_at), timestamp '1970-01-01') from {{ this }} where not _realtime)
{%- endmacro %}

{# The rows of a model that came since this one was last built; all of them for its first build. A table or a subquery. #}
{% macro new_rows(model) -%}
{%- set relation = ref(model) -%}
{%- if realtime() -%}
new_{{ model }}
{%- elif is_incremental() -%}
(select * from {{ relation }} where _ingested_at > {{ last_built() }})
{%- else -%}
{{ relation }}
{%- endif -%}
{%- endmacro %}
