-- Who wrote a table of late, how often, and what it took. JOBS_BY_PROJECT is told by region: change region-us where the data is elsewhere.
select
    user_email,
    job_type,
    statement_type,
    (select label.value from unnest(labels) as label where label.key = 'dayfill_pipeline') as pipeline,
    count(*) as jobs,
    countif(error_result.reason is not null) as failed,
    min(creation_time) as first_seen,
    max(creation_time) as last_seen,
    count(distinct extract(hour from creation_time)) as hours_of_the_day,
    round(sum(total_slot_ms) / 3600000, 2) as slot_hours,
    sum(total_bytes_processed) as bytes_processed
from `region-us`.INFORMATION_SCHEMA.JOBS_BY_PROJECT
where creation_time >= timestamp_sub(current_timestamp(), interval @days day)
    and destination_table.dataset_id = 'return_insights_base'
    and destination_table.table_id = @table
group by user_email, job_type, statement_type, pipeline
order by jobs desc
