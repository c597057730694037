import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stringify } from 'yaml';
import { bigQueryClients } from '../../src/warehouse/bigquery.js';
import type { TestStack } from './stack.js';

const PROJECT = 'talbots-og-map-dev';
const ROWS_A_DAY = 40;

/** Ten days, three of them with a currency that nobody knows. */
export const TEN_DAYS = Array.from({ length: 10 }, (_, index) => `2025-07-${16 + index}`);
export const DEFECT_DAYS = ['2025-07-18', '2025-07-21', '2025-07-22'];

/**
 * A folder of pipelines: each builds warehouse/crm for a client of its own, from rows that are landed already.
 * @param names of the pipelines, with what each says of `fixes:` besides the datasets.
 */
export function lightPipelines(names: Readonly<Record<string, object>>): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'dayfill-light-'));
  // dbt writes beside a project what it installs; the tests' copy keeps the checkout as it is.
  cpSync(path.resolve('warehouse/crm'), path.join(dir, 'crm'), { recursive: true });
  for (const [client, fixes] of Object.entries(names)) {
    mkdirSync(path.join(dir, client, 'fixes'), { recursive: true });
    writeFileSync(path.join(dir, client, 'pipeline.yaml'), stringify(lightPipeline(client, fixes)));
  }
  return dir;
}

function lightPipeline(client: string, fixes: object): Record<string, unknown> {
  const vars = { client: '${vars.client}', project_id: '${vars.project_id}', partition_key: '${partition}' };
  return {
    pipeline: client,
    partition: { every: '1d', start: '2025-07-01' },
    vars: { client, project_id: PROJECT, location: 'US' },
    fixes: { datasets: [`${client}_landing`, `${client}_crm`], ...fixes },
    steps: [{ id: 'crm', uses: 'dbt/build', with: { project: '../crm', target: 'oauth', vars } }],
  };
}

/** Lands a few conversions for each of the ten days; three of a day with the defect are in the currency ZZZ. */
export async function landConversions(stack: TestStack, client: string): Promise<void> {
  const bigquery = bigQueryClients(stack.config())(PROJECT);
  await bigquery.createDataset(`${client}_landing`, { location: 'US' });
  const defects = DEFECT_DAYS.map((day) => `date '${day}'`).join(', ');
  const query = `
    create table ${client}_landing.conversion partition by conversion_date as
    select
      day as conversion_date, n as source_line, concat(string(day), '-', n) as conversion_id,
      concat('key-', string(day), '-', n) as unique_key, concat('order-', n) as order_id,
      concat('buyer', n, '@example.com') as email, '+15550100000' as phone, cast(null as string) as loyalty_id,
      'Main Street' as store, cast(n as numeric) as amount,
      if(day in (${defects}) and n <= 3, 'ZZZ', 'USD') as currency,
      timestamp(day) as converted_at, timestamp(day) as updated_at, 'store' as channel
    from unnest(generate_date_array(date '${TEN_DAYS[0]}', date '${TEN_DAYS.at(-1)}')) as day, unnest(generate_array(1, ${ROWS_A_DAY})) as n`;
  await bigquery.query({ query, location: 'US' });
}

/** Rows that are built, and rows that were put aside, by day. */
export async function lightContents(
  stack: TestStack,
  client: string,
): Promise<Record<string, [built: number, aside: number]>> {
  const bigquery = bigQueryClients(stack.config())(PROJECT);
  const query = `
    select string(day) as day,
      (select count(*) from ${client}_crm.conversions where conversion_date = day) as built,
      (select count(*) from ${client}_landing.conversion_quarantine where conversion_date = day) as aside
    from unnest(generate_date_array(date '${TEN_DAYS[0]}', date '${TEN_DAYS.at(-1)}')) as day order by day`;
  const [rows] = await bigquery.query({ query, location: 'US' });
  return Object.fromEntries(rows.map(({ day, built, aside }) => [day, [built, aside]]));
}

/** What `lightContents` is once the three days were healed: their bad rows put aside, no other row touched. */
export const LIGHT_CONTENTS_HEALED = Object.fromEntries(
  TEN_DAYS.map((day) => [day, DEFECT_DAYS.includes(day) ? [ROWS_A_DAY - 3, 3] : [ROWS_A_DAY, 0]]),
);
