{# The day being built. Anything but a day of the calendar fails while parsing, before a statement runs. #}
{% macro partition_day() -%}
  {{ return(modules.datetime.datetime.strptime(var('partition_date') | string, '%Y-%m-%d').date()) }}
{%- endmacro %}

{# The same as a SQL date. #}
{% macro partition_date() -%}
  date '{{ partition_day() }}'
{%- endmacro %}

{# Which orders a day takes in, as SQL on a column with their date: the safety net, or all since 2024 when it is off. #}
{% macro orders_taken_in(order_date) -%}
  {%- if var('safety_net') == 'on' -%}
    {{ order_date }} between date_sub({{ partition_date() }}, interval {{ var('safety_net_days') | int - 1 }} day) and {{ partition_date() }}
  {%- elif var('safety_net') == 'off' -%}
    {{ order_date }} >= date '2024-01-01'
  {%- else -%}
    {{ exceptions.raise_compiler_error("safety_net is on or off, not " ~ var('safety_net')) }}
  {%- endif -%}
{%- endmacro %}

{# Temporary tables are a date's own, so that two dates never meet: tmp_order_item_details_2025-11-19. #}
{% macro dated_alias(name) -%}
  {{ return(name ~ '_' ~ partition_day()) }}
{%- endmacro %}
