export { backfill } from './backfill.js';
export { lock } from './lock.js';
export { partition } from './partition.js';
