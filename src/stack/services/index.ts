import type { Service } from '../service.js';
import { bigquery } from './bigquery.js';
import { storage } from './storage.js';
import { temporal } from './temporal.js';
import { worker } from './worker.js';

/** The services of the embedded stack, in the order in which they are listed. */
export const SERVICES: readonly Service[] = [temporal, bigquery, storage, worker];
