import { overheadDay } from './overhead-day.mjs';
import { overheadPipelines } from './overhead-pipelines.mjs';
import { overheadRange } from './overhead-range.mjs';

/** What dayfill adds to a day, to thousands of days, and to many pipelines at once; about half an hour. */
export async function overhead(options) {
  return {
    day: await overheadDay(options),
    range: await overheadRange(options),
    pipelines: await overheadPipelines(options),
  };
}
