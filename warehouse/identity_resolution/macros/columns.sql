{# A text that follows from the values of some columns or expressions, and from nothing else. #}
{% macro surrogate_key(columns) -%}
to_hex(md5(concat(
    {%- for column in columns -%}
    coalesce(cast({{ column }} as string), '(null)'){% if not loop.last %}, '|', {% endif %}
    {%- endfor -%}
)))
{%- endmacro %}

{# The columns that every model ends with. `_realtime`: written for a single event, ahead of the batch that will read it again;
   such rows move no watermark. #}
{% macro ingestion_columns() -%}
{{ 'true' if single_event() else 'false' }} as _realtime,
    current_timestamp() as _ingested_at
{%- endmacro %}

{# An identifier as it is compared: mail addresses and domains in lower case, phone numbers with country and digits only
   (ten digits are North American); null when nothing is left. Both arguments are SQL. #}
{% macro normalised_identifier(type, value) -%}
nullif(case {{ type }}
    when 'email' then if(regexp_contains({{ value }}, r'^\s*[^@\s]+@[^@\s]+\s*$'), lower(trim({{ value }})), null)
    when 'domain' then regexp_replace(lower(trim({{ value }})), r'^(https?://)?(www\.)?|/.*$', '')
    when 'phone' then if(
        regexp_replace({{ value }}, r'[^0-9]', '') = '', null,
        concat(if(length(regexp_replace({{ value }}, r'[^0-9]', '')) = 10, '+1', '+'), regexp_replace({{ value }}, r'[^0-9]', '')))
    else trim({{ value }})
end, '')
{%- endmacro %}
