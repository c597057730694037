-- A till sent conversions twice: keeps one row per unique key on @partition's day, the latest. The others move to
-- talbots_landing.conversion_duplicate. Run twice, it changes nothing the second time.
--
-- They go from the landing table too, because the CRM build makes the day from it: left there, they would come back.

create table if not exists `talbots_landing.conversion_duplicate` (
    conversion_date date,
    source_line int64,
    conversion_id string,
    unique_key string,
    order_id string,
    email string,
    phone string,
    loyalty_id string,
    store string,
    amount numeric,
    currency string,
    converted_at timestamp,
    updated_at timestamp,
    channel string
)
partition by conversion_date
options (description = 'Conversions that gave way to a later row with the same unique key. Personal data.');

begin transaction;

insert into `talbots_landing.conversion_duplicate` (
    conversion_date, source_line, conversion_id, unique_key, order_id, email, phone, loyalty_id,
    store, amount, currency, converted_at, updated_at, channel
)
select
    conversion_date, source_line, conversion_id, unique_key, order_id, email, phone, loyalty_id,
    store, amount, currency, converted_at, updated_at, channel
from (
    select
        c.*,
        row_number() over (partition by c.unique_key order by c.updated_at desc, c.source_line desc) as place
    from `talbots_landing.conversion` as c
    where c.conversion_date = @partition
) as ranked
where place > 1
except distinct
select
    conversion_date, source_line, conversion_id, unique_key, order_id, email, phone, loyalty_id,
    store, amount, currency, converted_at, updated_at, channel
from `talbots_landing.conversion_duplicate`
where conversion_date = @partition;

delete from `talbots_landing.conversion`
where conversion_date = @partition
    and source_line in (
        select source_line
        from (
            select
                c.source_line,
                row_number() over (partition by c.unique_key order by c.updated_at desc, c.source_line desc) as place
            from `talbots_landing.conversion` as c
            where c.conversion_date = @partition
        ) as ranked
        where place > 1
    );

delete from `talbots_crm.talbots_raw_extraction_conversion`
where conversion_date = @partition
    and source_line in (
        select source_line
        from (
            select
                c.source_line,
                row_number() over (partition by c.unique_key order by c.updated_at desc, c.source_line desc) as place
            from `talbots_crm.talbots_raw_extraction_conversion` as c
            where c.conversion_date = @partition
        ) as ranked
        where place > 1
    );

commit transaction;
