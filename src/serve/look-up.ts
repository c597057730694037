import type { RowMetadata } from '@google-cloud/bigquery';
import type { CompiledModels } from './compiled-models.js';
import { LOOK_UP_TIMEOUT_MS, MOST_PERSONS } from './limits.js';
import type { ServedWarehouse } from './warehouse.js';

/** Finds what the models of a client have made of its events. */
export class LookUp {
  private readonly dataset: string;

  constructor(
    private readonly warehouse: ServedWarehouse,
    { project, dataset }: Pick<CompiledModels, 'project' | 'dataset'>,
  ) {
    this.dataset = `${project}.${dataset}`;
  }

  /** The event as it was last processed; null when it never was. @throws WarehouseFailure */
  async event(id: string) {
    const [row] = await this.warehouse.run({
      operation: 'event',
      sql: `select id, occurred_at, event_name, event_description, cast(value as float64) as value, value_unit, event_type,
  source, _ingested_at
from \`${this.dataset}.events\`
where id = @id and _removed is not true
order by _ingested_at desc
limit 1`,
      params: { id },
      timeoutMs: LOOK_UP_TIMEOUT_MS,
    });
    if (row === undefined) return null;
    return {
      id: row.id,
      occurredAt: time(row.occurred_at),
      eventName: row.event_name,
      eventDescription: row.event_description,
      value: row.value,
      valueUnit: row.value_unit,
      eventType: row.event_type,
      source: row.source,
      processedAt: time(row._ingested_at),
    };
  }

  /** The persons that have the identifier. @throws WarehouseFailure */
  async persons(identifier: string) {
    const rows = await this.warehouse.run({
      operation: 'person',
      // As text: an INT64 may be more than JavaScript's numbers hold.
      sql: `select cast(person_id as string) as id, name, emails, phones, loyalty_ids, first_event_at, last_event_at, events, sources
from \`${this.dataset}.persons\`
where person_id in (
  select person_id from \`${this.dataset}.resolved_person_identifiers\` where identifier_value in (@identifier, lower(trim(@identifier)))
)
order by person_id
limit ${MOST_PERSONS}`,
      params: { identifier },
      timeoutMs: LOOK_UP_TIMEOUT_MS,
    });
    return rows.map((row: RowMetadata) => ({
      id: row.id,
      name: row.name,
      emails: row.emails,
      phones: row.phones,
      loyaltyIds: row.loyalty_ids,
      firstEventAt: time(row.first_event_at),
      lastEventAt: time(row.last_event_at),
      events: row.events,
      sources: row.sources,
    }));
  }
}

function time(timestamp: { value: string } | null): string | null {
  return timestamp?.value ?? null;
}
