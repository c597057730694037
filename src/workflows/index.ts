export { backfill } from './backfill.js';
export { lock } from './lock.js';
export { notification } from './notification.js';
export { partition } from './partition.js';
