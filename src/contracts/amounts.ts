import type { Progress } from './backfill.js';

/** Powers of 1024. */
export const BYTE_UNITS = { B: 0, KiB: 1, MiB: 2, GiB: 3, TiB: 4 } as const;

/** Slot milliseconds of a slot-hour. */
export const SLOT_HOUR_MS = 3_600_000;

/** An amount of data for people, such as `1.25 TiB`. */
export function bytesText(bytes: number): string {
  const [unit, power] = Object.entries(BYTE_UNITS).findLast((entry) => bytes >= 1024 ** entry[1]) ?? ['B', 0];
  return `${rounded(bytes / 1024 ** power)} ${unit}`;
}

/** Dollars for people: whole cents, and what is less than a dollar by its first digits. */
export function dollarsText(dollars: number): string {
  return `$${dollars === 0 || dollars >= 1 ? dollars.toFixed(2) : rounded(dollars)}`;
}

/** Slot milliseconds for people, such as `12.5 slot-hours`. */
export function slotText(slotMs: number): string {
  return `${rounded(slotMs / SLOT_HOUR_MS)} slot-hours`;
}

/** Milliseconds for people, such as `90 s` or `1.5 h`. */
export function timeText(ms: number): string {
  if (ms < 120_000) return `${rounded(ms / 1000)} s`;
  return ms < 7_200_000 ? `${rounded(ms / 60_000)} min` : `${rounded(ms / 3_600_000)} h`;
}

function rounded(amount: number): string {
  return String(Number(amount.toPrecision(3)));
}

/** Two amounts together, where null is one that is not known. */
export function addKnown(a: number | null, b: number | null | undefined): number | null {
  return a === null ? (b ?? null) : a + (b ?? 0);
}

/** Whether the budget is spent while partitions are left: none starts until someone says so. */
export function outOfBudget({
  pending,
  spentUsd,
  budgetUsd,
}: Pick<Progress, 'pending' | 'spentUsd' | 'budgetUsd'>): boolean {
  return budgetUsd !== null && pending.length > 0 && (spentUsd ?? 0) >= budgetUsd;
}
