{# The sources that the client delivers, from var `client_sources`. A client that isn't there is refused before anything runs. #}
{% macro client_sources() %}
{%- set client = var('programmatic_client') -%}
{%- set known = var('client_sources') -%}
{%- if client not in known -%}
    {{ exceptions.raise_compiler_error("Client '" ~ client ~ "' delivers nothing yet: name its sources under client_sources in dbt_project.yml.") }}
{%- endif -%}
{{ return(known[client]) }}
{% endmacro %}

{# Whether the client delivers a source: the `enabled` of that source's models. #}
{% macro delivers(source) %}
{{ return(source in client_sources()) }}
{% endmacro %}

{# Of a list such as var `event_sources`, the entries that the client delivers. #}
{% macro delivered(sources_var) %}
{%- set sources = [] -%}
{%- for entry in var(sources_var) if delivers(entry.source) -%}{%- do sources.append(entry) -%}{%- endfor -%}
{{ return(sources) }}
{% endmacro %}
