{# A TIMESTAMP as text that sorts as the time does. #}
{% macro sortable(timestamp) -%}
lpad(cast(unix_micros({{ timestamp }}) as string), 16, '0')
{%- endmacro %}
