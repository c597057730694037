const TRANSIENT_REASONS = new Set([
  'backendError',
  'internalError',
  'jobBackendError',
  'jobInternalError',
  'jobRateLimitExceeded',
  'rateLimitExceeded',
  'quotaExceeded',
]);
const TRANSIENT_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENOTFOUND',
  'ECONNABORTED',
  'ERR_STREAM_PREMATURE_CLOSE',
]);
/** Two writers of one table met: BigQuery asks for another try. */
const CONCURRENT_UPDATE = /could not serialize access|due to concurrent update/i;
/** What tools pass on of a query that would bill more than it may. */
export const BYTES_LIMIT = /exceeded limit for bytes billed/i;
/** How the client tells that nobody answered; only where there was no answer, since tables may be called so. */
const NO_ANSWER = /socket hang up|fetch failed|network/i;

interface WarehouseError {
  code?: number | string;
  /** Of Cloud Storage's uploads in parts. */
  status?: number;
  message?: string;
  errors?: { reason?: string; message?: string }[];
  reason?: string;
}

/** Whether another try of the same request may succeed: network, 5xx, rate limit, lock. */
export function isTransientWarehouseError(error: unknown): boolean {
  const { code, message = '', errors = [], reason } = error as WarehouseError;
  const status = statusOf(error);
  if (status !== undefined && (status >= 500 || status === 429)) return true;
  if (typeof code === 'string' && TRANSIENT_CODES.has(code)) return true;
  if ([reason, ...errors.map((e) => e.reason)].some((r) => r !== undefined && TRANSIENT_REASONS.has(r))) return true;
  const answered = status !== undefined || reason !== undefined || errors.length > 0;
  return isConcurrentUpdate(error) || (!answered && NO_ANSWER.test(message));
}

/** Whether a statement or transaction was given up because another one changed the same table. */
export function isConcurrentUpdate(error: unknown): boolean {
  return CONCURRENT_UPDATE.test((error as WarehouseError).message ?? '');
}

/** Whether a query was refused, or given up, because it would bill more than it may. */
export function isBytesLimit(error: unknown): boolean {
  const { reason, errors = [], message = '' } = error as WarehouseError;
  return [reason, ...errors.map((e) => e.reason)].includes('bytesBilledLimitExceeded') || BYTES_LIMIT.test(message);
}

/** Whether the warehouse said it, as an answer to a request or as the end of a job. */
export function isWarehouseError(error: unknown): boolean {
  const { reason, errors = [] } = error as WarehouseError;
  return statusOf(error) !== undefined || [reason, ...errors.map((e) => e.reason)].some((r) => r !== undefined);
}

/** The warehouse's own message, without the client's additions. */
export function warehouseMessage(error: unknown): string {
  const { message, errors } = error as WarehouseError;
  return errors?.[0]?.message ?? message ?? String(error);
}

/** The HTTP status of an error of the client, when it has one. */
export function statusOf(error: unknown): number | undefined {
  const { code, status } = error as WarehouseError;
  return typeof code === 'number' ? code : status;
}

/** Makes something; false when it was there already. */
export async function ignoringConflict(creation: Promise<unknown>): Promise<boolean> {
  try {
    await creation;
    return true;
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
    return false;
  }
}

/** Removes something; that it was gone already is fine. */
export async function ignoringNotFound(removal: Promise<unknown>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
  }
}
