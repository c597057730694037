/** A column of the ledger, as BigQuery's API takes it. */
export interface Column {
  name: string;
  type: 'STRING' | 'INTEGER' | 'FLOAT' | 'DATE' | 'TIMESTAMP' | 'RECORD';
  mode?: 'REQUIRED' | 'NULLABLE' | 'REPEATED';
  description: string;
  fields?: Column[];
}

const failureColumns: Column[] = [
  { name: 'id', type: 'STRING', description: 'Names this occurrence of the failure' },
  { name: 'fingerprint', type: 'STRING', description: 'Equal for the same failure on different days' },
  { name: 'step', type: 'STRING', description: 'Step that failed' },
  { name: 'kind', type: 'STRING', description: 'Failure kind: test_failure, sql_error, …' },
  { name: 'tests', type: 'STRING', mode: 'REPEATED', description: 'Failing tests by name' },
  { name: 'message', type: 'STRING', description: 'Masked message, at most 4 KB' },
  { name: 'tail', type: 'STRING', description: 'Masked last lines of the log' },
  { name: 'log', type: 'STRING', description: 'Where the whole log is' },
  { name: 'evidence', type: 'STRING', description: 'Where the failing tests are described' },
  { name: 'exit_code', type: 'INTEGER', description: 'Exit code of the process, when there was one' },
];

const stepColumns: Column[] = [
  { name: 'id', type: 'STRING', description: 'Step id of the pipeline file' },
  { name: 'status', type: 'STRING', description: 'pending, running, waiting, succeeded, fixed, skipped or failed' },
  { name: 'attempts', type: 'INTEGER', description: 'How often the step itself was run to an end' },
  { name: 'remedies', type: 'STRING', mode: 'REPEATED', description: 'Remedies that were applied, in order' },
  { name: 'duration_ms', type: 'INTEGER', description: 'Milliseconds of the step and its remedies' },
  {
    name: 'counts',
    type: 'RECORD',
    mode: 'REPEATED',
    description: 'What the step counted: rows loaded, rejected, nodes built',
    fields: [
      { name: 'name', type: 'STRING', description: 'What was counted' },
      { name: 'value', type: 'FLOAT', description: 'How many' },
    ],
  },
  { name: 'bytes_billed', type: 'INTEGER', description: 'Bytes billed, when the warehouse told' },
  { name: 'slot_ms', type: 'INTEGER', description: 'Slot milliseconds, when the warehouse told' },
  {
    name: 'cost_usd',
    type: 'FLOAT',
    description: 'Dollars of the step, its remedies and fixes, when the warehouse told',
  },
  { name: 'job_ids', type: 'STRING', mode: 'REPEATED', description: 'BigQuery jobs, Dagster runs, dbt invocations' },
  { name: 'failure', type: 'RECORD', description: 'The last failure, kept when it was healed', fields: failureColumns },
  { name: 'log', type: 'STRING', description: 'Where the log is' },
  { name: 'state', type: 'STRING', description: 'JSON handed on to the next partition' },
  { name: 'warnings', type: 'STRING', mode: 'REPEATED', description: 'Limits that it crossed and only warned of' },
];

const decisionColumns: Column[] = [
  { name: 'action', type: 'STRING', description: 'retry, fix, approve, reject, skipStep, skip or abort' },
  { name: 'failure', type: 'STRING', description: 'Failure that it answered' },
  { name: 'fingerprint', type: 'STRING', description: 'Fingerprint of that failure' },
  { name: 'step', type: 'STRING', description: 'Step that waited' },
  { name: 'note', type: 'STRING', description: 'Why, in their words' },
  { name: 'decided_by', type: 'STRING', description: 'Who said they decided; a claim, not a proof' },
  { name: 'decided_at', type: 'TIMESTAMP', description: 'When' },
  { name: 'way', type: 'STRING', description: 'person, mcp, auto_apply, decide_within or all_alike' },
  { name: 'sql', type: 'STRING', description: 'SQL of a fix or an approved proposal' },
  { name: 'sha256', type: 'STRING', description: 'SHA-256 of that SQL, in hex' },
  { name: 'file', type: 'STRING', description: 'File that it came from' },
  { name: 'afterwards', type: 'STRING', description: 'retry: the step ran again; continue: the fix stood in for it' },
];

/** The ledger's columns. Only ever added to: older rows have null in newer columns. */
export const LEDGER_COLUMNS: Column[] = [
  {
    name: 'pipeline',
    type: 'STRING',
    mode: 'REQUIRED',
    description: 'Pipeline, or pipeline~hash when vars were overridden',
  },
  {
    name: 'partition',
    type: 'STRING',
    mode: 'REQUIRED',
    description: 'Partition key: 2025-07-16 or 2020-01-01..2020-01-30',
  },
  { name: 'partition_start', type: 'DATE', mode: 'REQUIRED', description: 'First day of the partition' },
  { name: 'partition_end', type: 'DATE', mode: 'REQUIRED', description: 'Last day of the partition, inclusive' },
  { name: 'status', type: 'STRING', mode: 'REQUIRED', description: 'waiting, succeeded, fixed, skipped or failed' },
  { name: 'workflow_id', type: 'STRING', mode: 'REQUIRED', description: 'Temporal workflow id' },
  { name: 'run_id', type: 'STRING', mode: 'REQUIRED', description: 'Temporal run id; with sequence the key of a row' },
  { name: 'sequence', type: 'INTEGER', mode: 'REQUIRED', description: 'Row number within the run, from 1' },
  { name: 'started_at', type: 'TIMESTAMP', mode: 'REQUIRED', description: 'When the run started' },
  { name: 'recorded_at', type: 'TIMESTAMP', mode: 'REQUIRED', description: 'When this row was made' },
  {
    name: 'source_as_of',
    type: 'TIMESTAMP',
    mode: 'REQUIRED',
    description: 'Before the first read: later source rows make it stale',
  },
  { name: 'reason', type: 'STRING', description: 'Why the run was started, in their words' },
  { name: 'steps', type: 'RECORD', mode: 'REPEATED', description: 'Outcome of each step', fields: stepColumns },
  { name: 'decisions', type: 'RECORD', mode: 'REPEATED', description: 'What people decided', fields: decisionColumns },
];

/**
 * The columns of a table with those that it lacks added at the end, in records too; null when it lacks none. What the
 * table has stays as it is there, columns of a newer version included.
 */
export function withMissing(existing: Column[], wanted: Column[]): Column[] | null {
  let changed = false;
  const kept = existing.map((column) => {
    const same = wanted.find(({ name }) => name === column.name);
    const fields = same?.fields && withMissing(column.fields ?? [], same.fields);
    changed ||= fields != null;
    return fields ? { ...column, fields } : column;
  });
  const added = wanted.filter(({ name }) => !existing.some((column) => column.name === name));
  return changed || added.length > 0 ? [...kept, ...added] : null;
}
