{# Whether a membership (relation with person_id and group_id) is one of a person or a group about which something is new. #}
{% macro of_changed_entities(membership) -%}
({{ membership }}.person_id in (select changed.person_id from {{ changed_entities('person') }} as changed)
        or {{ membership }}.group_id in (select changed.group_id from {{ changed_entities('group') }} as changed))
{%- endmacro %}

{# Before a model is merged that holds rows of persons or groups: those of changed ones go, for what they are now comes instead. #}
{% macro forget_changed_entities(entity) -%}
{%- if is_incremental() -%}
delete from {{ this }} where {{ entity }}_id in (select changed.{{ entity }}_id from {{ changed_entities(entity) }} as changed)
{%- endif -%}
{%- endmacro %}

{% macro forget_changed_memberships() -%}
{%- if is_incremental() -%}
delete from {{ this }} as known where {{ of_changed_entities('known') }}
{%- endif -%}
{%- endmacro %}
