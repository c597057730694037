{{ config(enabled=delivers('shopify_partner')) }}

select
    id,
    occurred_at,
    case type
        when 'RELATIONSHIP_INSTALLED' then 'app_installed'
        when 'RELATIONSHIP_UNINSTALLED' then 'app_uninstalled'
        when 'SUBSCRIPTION_CHARGE_ACCEPTED' then 'subscription_charge_accepted'
        when 'ONE_TIME_CHARGE_ACCEPTED' then 'one_time_charge_accepted'
        else lower(type)
    end as event_name,
    concat(coalesce(shop_name, shop_domain, shop_id, 'unknown shop'), ' ', lower(coalesce(type, 'unknown')), ' ', coalesce(app_name, '')) as event_description,
    amount as value,
    currency as value_unit,
    'app_event' as event_type,
    'shopify_partner' as source,
    app_id,
    shop_id,
    synced_at,
    _removed,
    {{ ingestion_columns() }}
from {{ new_rows('shopify_partner_app_events') }} as app_events
