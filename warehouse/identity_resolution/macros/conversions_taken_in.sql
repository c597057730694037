{# The conversions that identity resolution works on: those updated since the refresh date, and those put back by a fix. #}
{% macro conversions_taken_in() %}
{%- set refresh_date = modules.datetime.datetime.strptime(var('refresh_date') | string, '%Y-%m-%d') -%}
    select conversion_id, conversion_date, converted_at, email, phone, loyalty_id
    from {{ source('crm', 'conversions') }}
    where date(updated_at) >= date '{{ refresh_date.strftime('%Y-%m-%d') }}'
        or conversion_id in (select conversion_id from {{ source('identity', 'restored_conversion') }})
{%- endmacro %}
