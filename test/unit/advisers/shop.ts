import type { TableMetadata } from '@google-cloud/bigquery';
import type { FixRules } from '../../../src/contracts/fix.js';

export function rules(dayColumns: Record<string, string> = {}): FixRules {
  return {
    ...{ project: 'p', location: 'US', dataset: null, datasets: ['shop'], creates: [] },
    ...{ dayColumns, maxRows: 10, maxBytesBilled: null },
  };
}

/** A table's metadata as BigQuery's API has it. @param columns types by name. */
export function table(columns: Record<string, string>, more: TableMetadata = {}): TableMetadata {
  return {
    type: 'TABLE',
    schema: { fields: Object.entries(columns).map(([name, type]) => ({ name, type })) },
    ...more,
  };
}
