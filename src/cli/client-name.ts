import { InvalidArgumentError } from 'commander';
import { CLIENT } from '../contracts/ids.js';

/** Parses the name of a client, the prefix of its datasets. */
export function clientName(text: string): string {
  if (!CLIENT.test(text)) throw new InvalidArgumentError('expected a name such as headless');
  return text;
}
