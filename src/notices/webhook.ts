import { withTimeLimit } from '../time-limit.js';
import { NotTold } from './errors.js';
import { isLoopback, secretUrl } from './secrets.js';

/** Milliseconds that a target has to answer. */
export const ANSWER_MS = 10_000;
const LONGEST_PAUSE_MS = 60 * 60_000;

/**
 * Posts a document as JSON to the URL in an environment variable. Redirects are not followed: a notice goes where it was
 * sent, or nowhere.
 * @throws NotTold when it was not taken.
 */
export async function post(variable: string, document: unknown, cancelled: AbortSignal): Promise<void> {
  const url = secretUrl(variable, 'https:', 'http:');
  if (url.protocol === 'http:' && !isLoopback(url)) {
    throw new NotTold(
      `The URL in ${variable} begins with http://, which anyone on the way can read: use https://.`,
      false,
    );
  }
  if (url.username !== '' || url.password !== '') {
    throw new NotTold(`The URL in ${variable} has a user name in it, which a webhook cannot be sent to.`, false);
  }
  const response = await send(url, variable, document, cancelled);
  await response.body?.cancel();
  if (response.ok) return;
  const { status } = response;
  const again = status >= 500 || status === 408 || status === 429;
  const what = status >= 300 && status < 400 ? `${status}, a redirect, which is not followed` : `${status}`;
  throw new NotTold(`The webhook of ${variable} answered ${what}.`, again, pauseOf(response));
}

async function send(url: URL, variable: string, document: unknown, cancelled: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8', 'user-agent': 'dayfill' },
      body: JSON.stringify(document),
      redirect: 'manual',
      signal: withTimeLimit(cancelled, ANSWER_MS),
    });
  } catch (error) {
    if (cancelled.aborted) throw error;
    if ((error as Error).name === 'TimeoutError') {
      throw new NotTold(`The webhook of ${variable} did not answer within ${ANSWER_MS / 1000} seconds.`, true);
    }
    const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
    throw new NotTold(`The webhook of ${variable} cannot be reached${code === undefined ? '' : ` (${code})`}.`, true);
  }
}

/** Retry-After, in seconds or as a date. */
function pauseOf({ headers }: Response): number | null {
  const value = headers.get('retry-after');
  if (value === null) return null;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return ms > 0 ? Math.min(ms, LONGEST_PAUSE_MS) : null;
}
