import type { Table, TableMetadata } from '@google-cloud/bigquery';
import { matchesGlob } from '../contracts/glob.js';
import type { TempTableLimit } from '../contracts/limits.js';
import type { BigQueryClients } from './bigquery.js';
import { isBytesLimit, statusOf } from './errors.js';

/** What counting the days of one table may bill: more has other things wrong with it. */
const MAX_BYTES_BILLED = 10 * 1024 ** 3;

/** Looks at the tables of one limit; a table is counted again only when it, or what may have written it, has moved. */
export class TempTables {
  private readonly counted = new Map<string, string>();
  /** A count can wait behind what it is about: no other is asked for meanwhile. */
  private asked: Promise<string[]> | null = null;

  /** @param labels what the counting queries carry. */
  constructor(
    private readonly clients: BigQueryClients,
    private readonly limit: TempTableLimit,
    private readonly labels: Record<string, string>,
  ) {}

  /**
   * The tables that hold more days than they may, a sentence each.
   * @param jobsEnded jobs of the step so far: each may have written to the tables.
   * @throws what the warehouse says, such as that there is no such column.
   */
  overlong(jobsEnded: number): Promise<string[]> {
    this.asked ??= this.ask(jobsEnded).finally(() => {
      this.asked = null;
    });
    return this.asked;
  }

  private async ask(jobsEnded: number): Promise<string[]> {
    const { project, dataset, like } = this.limit;
    const [tables] = await ifThere(this.clients(project).dataset(dataset).getTables(), [[]]);
    const matching = tables.filter(({ id, metadata }) => metadata.type === 'TABLE' && matchesGlob(like, id!));
    const found: string[] = [];
    for (const table of matching) {
      const why = await ifThere(this.whyOverlong(table, jobsEnded), null);
      if (why !== null) found.push(why);
    }
    return found;
  }

  private async whyOverlong(table: Table, jobsEnded: number): Promise<string | null> {
    const [metadata] = await table.getMetadata();
    const version = `${versionOf(metadata)}/${jobsEnded}`;
    if (this.counted.get(table.id!) === version) return null;
    const { project, dataset, dateColumn, maxDays } = this.limit;
    const query = `select count(*) as days, cast(min(day) as string) as first, cast(max(day) as string) as last
      from (select distinct cast(\`${dateColumn}\` as date) as day from \`${project}.${dataset}.${table.id}\`)
      where day is not null`;
    const options = { query, labels: this.labels, maximumBytesBilled: `${MAX_BYTES_BILLED}` };
    const name = `The table '${dataset}.${table.id}'`;
    try {
      const [[row]] = await this.clients(project).query({ ...options, location: metadata.location });
      if (row.days > maxDays) {
        return `${name} holds ${row.days} days (${row.first} to ${row.last}), more than its limit max_days of ${maxDays}.`;
      }
    } catch (error) {
      if (!isBytesLimit(error)) throw error;
      return `${name} is too large to count its days: they alone are more than 10 GiB.`;
    }
    this.counted.set(table.id!, version);
    return null;
  }
}

function versionOf({ lastModifiedTime, numRows, streamingBuffer }: TableMetadata): string {
  return [lastModifiedTime, numRows, streamingBuffer?.estimatedRows].join('/');
}

/** A table can go between two questions, and a dataset can be yet to come. */
async function ifThere<T>(asked: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (statusOf(error) === 404) return otherwise;
    throw error;
  }
}
