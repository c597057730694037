import { Command, InvalidArgumentError } from 'commander';
import { plainName } from '../client/pipelines.js';
import {
  type CatchUpSchedule,
  checkSchedule,
  pauseSchedule,
  removeSchedule,
  resumeSchedule,
  setSchedule,
  showSchedule,
} from '../client/schedule.js';
import { MAX_LOOKBACK_DAYS, MAX_NIGHTLY_PARTITIONS, timeOfDay } from '../contracts/catch-up.js';
import { printJson, withDayfill } from './options.js';

interface SetOptions {
  cron: string;
  timezone: string;
  lookback: number;
  maxPartitions: number;
  notifyAt: string;
  json?: true;
}

/** `dayfill schedule`: the nightly catch-up of a pipeline. */
export function scheduleCommand(): Command {
  return new Command('schedule')
    .description('the nightly catch-up of a pipeline: what is missing or stale is run by itself')
    .addCommand(setCommand())
    .addCommand(showCommand())
    .addCommand(changeCommand('pause', 'start no night until resumed', pauseSchedule, 'is paused'))
    .addCommand(changeCommand('resume', 'go on after pause', resumeSchedule, 'goes on'))
    .addCommand(changeCommand('remove', 'take the schedule away; what runs goes on', removeSchedule, 'is removed'))
    .addHelpText(
      'after',
      `
Examples:
  dayfill schedule set orders --cron "0 2 * * *" --timezone Europe/Berlin --lookback 14d --max-partitions 5
  dayfill schedule show orders`,
    );
}

function setCommand(): Command {
  return new Command('set')
    .description('catch up at these times; a schedule that is there is changed')
    .argument('<pipeline>', 'name of the pipeline')
    .requiredOption('--cron <expression>', 'when, as minute, hour, day of the month, month, day of the week')
    .option('--timezone <name>', 'time zone of the expression, and of which day it is', 'UTC')
    .option('--lookback <days>', 'how far back to look for missing and stale partitions', lookback, 14)
    .option('--max-partitions <n>', 'most partitions that one night starts, the oldest first', maxPartitions, 10)
    .option('--notify-at <time>', "when the digest is sent to the pipeline's notify targets", notifyAt, '08:00')
    .option('--json', 'print one JSON document: the schedule as it is now')
    .addHelpText(
      'after',
      `
Examples:
  dayfill schedule set orders --cron "0 2 * * *" --timezone Europe/Berlin
  dayfill schedule set orders --cron "30 4 * * 1-5" --lookback 30d --max-partitions 3 --notify-at 07:30`,
    )
    .action((pipeline: string, { lookback: lookbackDays, json, ...options }: SetOptions) => {
      const settings = { pipeline, lookbackDays, ...options };
      return withDayfill(
        async (dayfill) => print(await setSchedule(dayfill, settings), json),
        (files) => checkSchedule(files, settings),
      );
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('the schedule, its next nights and its last ones')
    .argument('<pipeline>', 'name of the pipeline')
    .option(
      '--json',
      'print one JSON document: {"pipeline","cron","timezone",…,"paused","nextRuns":[…],"lastRuns":[…]}',
    )
    .addHelpText('after', '\nExample:\n  dayfill schedule show orders --json')
    .action((pipeline: string, { json }: { json?: true }) =>
      withDayfill(
        async (dayfill) => print(await showSchedule(dayfill, pipeline), json),
        () => plainName(pipeline),
      ),
    );
}

/** Of a pipeline that is gone the schedule can still be stopped, so its file is not looked at. */
function changeCommand(name: string, what: string, change: typeof pauseSchedule, done: string): Command {
  return new Command(name)
    .description(what)
    .argument('<pipeline>', 'name of the pipeline')
    .option('--json', 'print one JSON document: {"pipeline"}')
    .addHelpText('after', `\nExample:\n  dayfill schedule ${name} orders`)
    .action((pipeline: string, { json }: { json?: true }) =>
      withDayfill(
        async (dayfill) => {
          await change(dayfill, pipeline);
          if (json) printJson({ pipeline });
          else console.log(`The schedule of ${pipeline} ${done}.`);
        },
        () => plainName(pipeline),
      ),
    );
}

function print(schedule: CatchUpSchedule, json: true | undefined): void {
  const { lookbackDays, ...rest } = schedule;
  if (json) {
    printJson({ ...rest, lookback: `${lookbackDays}d` });
    return;
  }
  const { pipeline, cron, timezone, maxPartitions, notifyAt, paused, nextRuns, lastRuns } = schedule;
  console.log(
    `${pipeline} catches up at "${cron}" ${timezone}: the last ${lookbackDays} days, at most ${maxPartitions} partitions; digest at ${notifyAt}.`,
  );
  if (paused) console.log(`It is paused; go on with: dayfill schedule resume ${pipeline}`);
  else console.log(`Next: ${nextRuns.join(', ') || 'never: no such day comes'}`);
  for (const { scheduledAt, workflowId } of lastRuns) console.log(`Last: ${scheduledAt} (${workflowId})`);
}

function lookback(text: string): number {
  const [, days] = /^([1-9]\d{0,2})d$/.exec(text) ?? [];
  if (days === undefined || Number(days) > MAX_LOOKBACK_DAYS) {
    throw new InvalidArgumentError(`expected days from 1d to ${MAX_LOOKBACK_DAYS}d, such as 14d`);
  }
  return Number(days);
}

function maxPartitions(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text) || Number(text) > MAX_NIGHTLY_PARTITIONS) {
    throw new InvalidArgumentError(`expected a whole number from 1 to ${MAX_NIGHTLY_PARTITIONS}`);
  }
  return Number(text);
}

function notifyAt(text: string): string {
  if (!timeOfDay.safeParse(text).success) throw new InvalidArgumentError('expected a time of day such as 08:00');
  return text;
}
