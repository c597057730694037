-- The date's temporary tables, whichever of them there are. Their names hold the date, so they are made of it.
execute immediate concat('drop table if exists `return_insights_base.tmp_product_insights_updates_', string(@partition), '`');
execute immediate concat('drop table if exists `return_insights_base.tmp_order_item_details_', string(@partition), '`');
