import { NotTold } from './errors.js';

/**
 * The URL in an environment variable. Off this machine it must be an encrypted one of `protocol`.
 * @throws NotTold when it is not set, or is no such URL.
 */
export function secretUrl(variable: string, encrypted: 'https:' | 'smtps:', plain: 'http:' | 'smtp:'): URL {
  const value = process.env[variable];
  if (value === undefined || value === '') {
    throw new NotTold(`The environment variable ${variable} is not set where the worker runs.`, false);
  }
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url !== null && url.hostname !== '' && [encrypted, plain].some((protocol) => protocol === url.protocol))
    return url;
  throw new NotTold(`The environment variable ${variable} does not hold a URL that begins with ${encrypted}//.`, false);
}

/** Whether a URL points to this machine. */
export function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}
