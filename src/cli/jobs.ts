import { Command } from 'commander';
import { UsageError } from '../client/errors.js';
import { cancelPipelineJobs, pipelineJobs, RECENT_HOURS, type StepJob } from '../client/jobs.js';
import { openPipelines, partitionBounds, plainName } from '../client/pipelines.js';
import { loadConfig } from '../config.js';
import { bytesText, slotText } from '../contracts/amounts.js';
import { printJson } from './options.js';
import { table } from './tables.js';

interface JobsOptions {
  all?: true;
  cancel?: true;
  json?: true;
}

/** `dayfill jobs`: the BigQuery jobs of a pipeline's steps. */
export function jobsCommand(): Command {
  return new Command('jobs')
    .description('the BigQuery jobs that run for a pipeline, and cancel them')
    .argument('<pipeline>', 'name of the pipeline')
    .argument('[partition]', 'partition key, such as 2025-07-18; all of them without one')
    .option('--all', `also those that ended, of the last ${RECENT_HOURS} hours`)
    .option('--cancel', 'cancel those that run, and wait until they have ended')
    .option('--json', 'print one JSON document: {"pipeline","jobs":[…]}')
    .addHelpText(
      'after',
      `
They are found by the labels that steps put on their jobs. A step whose job is cancelled fails, and its day waits.

Examples:
  dayfill jobs order_items
  dayfill jobs order_items 2025-11-20 --cancel`,
    )
    .action(async (pipeline: string, partition: string | undefined, { all, cancel, json }: JobsOptions) => {
      if (all && cancel) throw new UsageError('--cancel is about jobs that run: leave out --all.');
      const files = openPipelines(loadConfig());
      files.pipeline(plainName(pipeline));
      if (partition !== undefined) partitionBounds(files, pipeline, partition);
      const jobs = cancel
        ? await cancelPipelineJobs(files, { pipeline, partition })
        : await pipelineJobs(files, { pipeline, partition, all: all ?? false });
      if (json) return printJson({ pipeline, jobs });
      if (jobs.length === 0) return console.error(nothing(pipeline, partition, all));
      if (cancel) for (const job of jobs) console.log(cancelled(job));
      else console.log(jobsTable(jobs));
    });
}

function nothing(pipeline: string, partition: string | undefined, all: true | undefined): string {
  const whose = partition === undefined ? pipeline : `${partition} of ${pipeline}`;
  return all ? `No job ran for ${whose} in the last ${RECENT_HOURS} hours.` : `No job runs for ${whose}.`;
}

function cancelled({ id, partition, step, state }: StepJob): string {
  const what = state === 'cancelled' ? 'cancelled' : `had ended by itself, ${state}`;
  return `${id} (${step} of ${partition}): ${what}`;
}

function jobsTable(jobs: StepJob[]): string {
  return table(
    ['job', 'partition', 'step', 'state', 'began', 'read', 'billed', 'slot time'],
    jobs.map((job) => [
      job.id,
      job.partition,
      job.step,
      job.reason === null || job.state === 'cancelled' ? job.state : `${job.state}: ${job.reason}`,
      job.createdAt.slice(0, 19),
      job.bytesProcessed === null ? '' : bytesText(job.bytesProcessed),
      job.bytesBilled === null ? '' : bytesText(job.bytesBilled),
      job.slotMs === null ? '' : slotText(job.slotMs),
    ]),
  );
}
