import type { Prices } from '../config.js';
import { SLOT_HOUR_MS } from '../contracts/amounts.js';
import type { Usage } from '../contracts/limits.js';

const TIB = 1024 ** 4;

/** What jobs cost, in dollars to six places; null when nothing is known that has a price. */
export function costUsd(
  { bytesBilled, slotMs }: Pick<Usage, 'bytesBilled' | 'slotMs'>,
  { perTibUsd, perSlotHourUsd }: Prices,
): number | null {
  const ofBytes = bytesBilled === null || perTibUsd === 0 ? null : (bytesBilled / TIB) * perTibUsd;
  const ofSlots = slotMs === null || perSlotHourUsd === 0 ? null : (slotMs / SLOT_HOUR_MS) * perSlotHourUsd;
  if (ofBytes === null && ofSlots === null) return null;
  return Number(((ofBytes ?? 0) + (ofSlots ?? 0)).toFixed(6));
}

/** Bytes that may be billed for so many dollars; null where bytes have no price. */
export function bytesFor(dollars: number, { perTibUsd }: Prices): number | null {
  return perTibUsd === 0 ? null : Math.floor((dollars / perTibUsd) * TIB);
}
