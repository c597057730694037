export { backfill } from './backfill.js';
export { catchUp } from './catch-up.js';
export { digest } from './digest.js';
export { lock } from './lock.js';
export { notification } from './notification.js';
export { partition } from './partition.js';
