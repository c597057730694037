{{ config(enabled=delivers('manual')) }}

with fresh as (
    {{ manual_traits('groups', ['name', 'industry']) }}
)

{{ with_retractions('fresh', new_rows('manual_events_raw')) }}
