import type { QualityReport, Suspect } from '../client/quality.js';

/** Heads of the columns, and the rows. */
export type Rows = [head: string[], rows: string[][]];

/** A row per measure, a column per kind of entity. */
export function measures({ measures }: QualityReport): Rows {
  const kinds = [...new Set(measures.map(({ entityType }) => entityType))];
  const names = [...new Set(measures.map(({ measure }) => measure))];
  const shown = (name: string) => (kind: string) => {
    const found = measures.find(({ entityType, measure }) => entityType === kind && measure === name);
    return found === undefined ? '' : number(found.value);
  };
  return [['measure', ...kinds], names.map((name) => [name.replaceAll('_', ' '), ...kinds.map(shown(name))])];
}

/** The biggest of each kind: no wonder by itself, but where false merges show first. */
export function biggest(report: QualityReport): Rows {
  const rows = biggestOnes(report).map(({ entityType, entityId, identifiers, detail }) => [
    `${entityType} ${entityId}`,
    number(identifiers),
    detail,
  ]);
  return [['entity', 'identifiers', 'of which'], rows];
}

/** The same as they are in the report. */
export function biggestOnes({ suspects }: QualityReport): Suspect[] {
  return suspects.filter(({ reason }) => reason === 'largest');
}

/** Those that disagree with themselves. */
export function suspects({ suspects }: QualityReport): Rows {
  const rows = suspects
    .filter(({ reason }) => reason !== 'largest')
    .map(({ entityType, entityId, detail, identifiers }) => [`${entityType} ${entityId}`, detail, number(identifiers)]);
  return [['entity', 'has', 'identifiers'], rows];
}

/** A sentence about the suspects that are not listed, when there are any. */
export function unlisted({ suspects, suspectsFound }: QualityReport): string[] {
  const more = suspectsFound - suspects.length;
  return more === 0 ? [] : [`${number(more)} more are in the table identity_suspects.`];
}

function number(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 2 });
}
