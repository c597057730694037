import type { FailureKind } from '../../contracts/failure.js';
import { BYTES_LIMIT } from '../../warehouse/errors.js';

/** Another try may succeed: network, 5xx, rate limit, or two writers of one table that met. */
const TRANSIENT = [
  /connection (?:refused|reset|aborted|timed out|broken|error)/i,
  /max retries exceeded|failed to establish a new connection|network is unreachable|remote end closed|RemoteDisconnected/i,
  /name or service not known|temporary failure in name resolution|getaddrinfo|EAI_AGAIN/i,
  /read timed out|deadline exceeded|socket hang up|ECONNRE(?:SET|FUSED)|ETIMEDOUT|EPIPE/i,
  /\b(?:429|500|502|503|504) (?:[A-Z]{3,6} https?:|(?:too many requests|internal server error|bad gateway|service unavailable|gateway time-?out))/i,
  /(?:job)?(?:rateLimitExceeded|backendError|internalError)\b|exceeded rate limits|too many requests|service unavailable|bad gateway/i,
  /could not serialize access|due to concurrent update|database is locked|deadlock detected/i,
];

const SQL = [/database error/i, /\bat \[\d+:\d+\]/, /\b400 (?:POST|GET) https?:/, /\binvalidQuery\b|syntax error:/i];

const MISSING = [
  /could not find profile named|does not have a target named|no dbt_project\.yml found/i,
  /Invalid value for '--(?:project|profiles)-dir'/i,
];

/** The kind that an error of a tool is of, by what it says. */
export function kindOfText(
  message: string,
): Extract<FailureKind, 'transient' | 'limit' | 'sql_error' | 'missing_executable' | 'step_error'> {
  if (TRANSIENT.some((pattern) => pattern.test(message))) return 'transient';
  if (BYTES_LIMIT.test(message)) return 'limit';
  if (MISSING.some((pattern) => pattern.test(message))) return 'missing_executable';
  return SQL.some((pattern) => pattern.test(message)) ? 'sql_error' : 'step_error';
}
