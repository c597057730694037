{# Conversions that a fix put back, whatever their updated_at says; made here because builds read it and only a fix writes it. #}
{% macro create_restored_conversion() -%}
{%- if delivers('talbots') -%}
create table if not exists {{ source('talbots', 'restored_conversion') }} (conversion_id string, restored_for date)
options (description = 'Conversions to take in whatever their updated_at says.')
{%- endif -%}
{%- endmacro %}

{# Before conversion_persons is merged: conversions that the CRM no longer has, or that name others than before. #}
{% macro forget_conversions() -%}
{%- if is_incremental() -%}
delete from {{ this }}
where conversion_id in (select named.event_id from {{ new_rows('talbots_person_identifiers') }} as named where named._removed)
{%- endif -%}
{%- endmacro %}
