import type { SourceChanges } from '../contracts/freshness.js';
import type { Vars } from '../contracts/ids.js';
import type { PipelineDefinition } from '../pipeline/definition.js';
import { renderFreshness } from '../pipeline/render.js';
import type { BigQueryClients } from '../warehouse/bigquery.js';
import { sourceChanges } from '../warehouse/freshness.js';

/** When the source of each day last changed; empty where the pipeline has no `freshness:`. */
export async function changesOf(
  clients: BigQueryClients,
  definition: PipelineDefinition,
  vars: Vars | undefined,
  span: { start: string; end: string },
): Promise<SourceChanges> {
  const query = renderFreshness(definition, vars);
  return query === null ? new Map() : sourceChanges(clients(query.project), query, span);
}
