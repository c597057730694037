{# Whether a DATE column lies in what a build reads: its own day and the days of the lookback before it. Both ends are
   literals, so that BigQuery skips every other partition. #}
{% macro in_window(column) -%}
{{ column }} between {{ window_start() }} and {{ partition_day() }}
{%- endmacro %}

{% macro window_start() -%}
date_sub({{ partition_day() }}, interval {{ var('lookback_days') | int }} day)
{%- endmacro %}
