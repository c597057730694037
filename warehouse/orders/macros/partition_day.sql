{# The day being built as a SQL date. Anything but a day of the calendar fails while parsing, before a statement runs. #}
{% macro partition_day() -%}
  {%- set day = modules.datetime.datetime.strptime(var('partition_key') | string, '%Y-%m-%d') -%}
  date '{{ day.strftime('%Y-%m-%d') }}'
{%- endmacro %}
