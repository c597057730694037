-- Identity resolution left conversions out: puts back those of every day up to and including @partition, by naming them
-- in talbots_identity.restored_conversion, from which each build takes them in whatever their updated_at says. Run
-- twice, it changes nothing the second time.
--
-- All days, because identity resolution builds all days: a hole left on one would fail every later one. restored_for is the
-- day that was being built, so that the rows are that day's and can be taken back with it.

create table if not exists `talbots_identity.restored_conversion` (
    conversion_id string,
    restored_for date
)
options (description = 'Conversions to take in whatever their updated_at says.');

begin transaction;

insert into `talbots_identity.restored_conversion` (conversion_id, restored_for)
select c.conversion_id, @partition
from `talbots_crm.conversions` as c
left join `talbots_identity.conversion_persons` as p on p.conversion_id = c.conversion_id
left join `talbots_identity.restored_conversion` as r on r.conversion_id = c.conversion_id
where c.conversion_date <= @partition
    and p.conversion_id is null
    and r.conversion_id is null;

commit transaction;
