import type { Config } from '../config.js';
import { CLIENT, PROJECT_ID } from '../contracts/ids.js';
import { bigQueryClients } from '../warehouse/bigquery.js';
import { statusOf, warehouseMessage } from '../warehouse/errors.js';
import { StateError, UsageError } from './errors.js';
import { inTheWay } from './open.js';

/** More suspects than these for one reason are counted, not listed. */
const SUSPECTS_LISTED = 200;

export interface Measure {
  entityType: string;
  measure: string;
  value: number;
}

/** A person or group that may be several in truth. */
export interface Suspect {
  entityType: string;
  /** A number, as text: it may be greater than JavaScript's numbers hold. */
  entityId: string;
  reason: string;
  /** How many of what; nothing personal. */
  detail: string;
  identifiers: number;
}

/** How well a client's identities are resolved, as its last dbt build measured it. */
export interface QualityReport {
  client: string;
  project: string;
  measuredAt: string;
  measures: Measure[];
  /** By reason, the biggest first. */
  suspects: Suspect[];
  /** How many there are, listed or not. */
  suspectsFound: number;
}

export interface QualityPlace {
  client: string;
  project: string;
}

/**
 * Reads a client's quality report.
 * @throws UsageError for what is no client or project, StateError when the tables or the warehouse are not there.
 */
export async function readQuality(config: Config, { client, project }: QualityPlace): Promise<QualityReport> {
  // Both are put between backquotes in SQL: nothing may close them.
  if (!CLIENT.test(client)) {
    throw new UsageError(`${JSON.stringify(client)} is not a client; expected a name such as headless.`);
  }
  if (!PROJECT_ID.test(project)) {
    throw new UsageError(`${JSON.stringify(project)} is not a Google Cloud project; expected one such as my-project.`);
  }
  const dataset = `${project}.${client}_identity`;
  const bigquery = bigQueryClients(config)(project);
  const measuresQuery = `
    select entity_type, measure, value, _ingested_at from \`${dataset}.identity_quality\`
    order by entity_type desc, measure`;
  const suspectsQuery = `
    select
      entity_type, cast(entity_id as string) as entity_id_text, reason, detail, identifiers,
      count(*) over () as found
    from \`${dataset}.identity_suspects\`
    qualify row_number() over (partition by reason order by identifiers desc, entity_type desc, entity_id) <= @listed
    order by reason, entity_type desc, identifiers desc, entity_id`;
  try {
    const [[measures], [suspects]] = await Promise.all([
      bigquery.query(measuresQuery),
      bigquery.query({ query: suspectsQuery, params: { listed: SUSPECTS_LISTED } }),
    ]);
    return {
      client,
      project,
      measuredAt: new Date(measures[0]._ingested_at.value).toISOString(),
      measures: measures.map(({ entity_type, measure, value }) => ({ entityType: entity_type, measure, value })),
      suspects: suspects.map(({ entity_type, entity_id_text, reason, detail, identifiers }) => {
        return { entityType: entity_type, entityId: entity_id_text, reason, detail, identifiers };
      }),
      suspectsFound: suspects[0]?.found ?? 0,
    };
  } catch (error) {
    if (statusOf(error) === 404) {
      throw new StateError(`There are no quality tables in ${dataset} yet: run dbt build first.`);
    }
    throw inTheWay(error, config) ?? new StateError(`${dataset} cannot be read: ${warehouseMessage(error)}`);
  }
}
