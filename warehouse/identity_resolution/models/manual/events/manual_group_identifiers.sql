{{ config(enabled=delivers('manual')) }}

with fresh as (
    {{ manual_identifiers('groups') }}
)

{{ with_retractions('fresh', new_rows('manual_events_raw')) }}
