/** Past figures that say what is normal: enough of them, and not those of long ago. */
export const FEWEST_PAST = 5;
export const MOST_PAST = 30;
/** Median absolute deviations of a normal distribution in one standard deviation. */
const MADS_PER_SIGMA = 1.4826;
const SIGMAS = 3;
/** Figures that hardly ever differ would make every difference an outlier. */
const LEAST_SPREAD = 0.25;

/** The band that a figure normally stays in. */
export interface NormalBand {
  median: number;
  low: number;
  high: number;
}

/**
 * The normal band of figures, oldest first: their median, and around it three standard deviations as the median absolute
 * deviation tells them, at least a quarter of the median; of the latest thirty. Null when there are too few.
 */
export function normalBand(past: readonly number[]): NormalBand | null {
  if (past.length < FEWEST_PAST) return null;
  const latest = past.slice(-MOST_PAST);
  const middle = median(latest);
  const deviation = median(latest.map((figure) => Math.abs(figure - middle)));
  const spread = Math.max(SIGMAS * MADS_PER_SIGMA * deviation, LEAST_SPREAD * middle);
  return { median: middle, low: Math.max(0, middle - spread), high: middle + spread };
}

function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1]! + sorted[Math.floor(half)]!) / 2;
}
