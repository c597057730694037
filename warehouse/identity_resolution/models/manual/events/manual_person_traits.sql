{{ config(enabled=delivers('manual')) }}

with fresh as (
    {{ manual_traits('persons', ['name', 'title']) }}
)

{{ with_retractions('fresh', new_rows('manual_events_raw')) }}
