{# Real-time path: the persons that the event touches, worked out once the identifiers are resolved. #}
{{ config(enabled=true) }}

{{ entities_of_new_rows('person') }}
