import { refusal } from './errors.js';
import { MOST_CHARACTERS } from './limits.js';
import type { LookUp } from './look-up.js';
import type { EventProcessor } from './process-event.js';
import { failureRefusal, WarehouseFailure } from './warehouse.js';

/** Half a surrogate pair, or NUL: no text that a warehouse could hold. */
const NO_TEXT = /\p{Surrogate}|\0/u;

/** Answers the fields of the schema. */
export function createResolvers(lookUp: LookUp, events: EventProcessor) {
  return {
    Query: {
      event: (_: unknown, { id }: { id: string }) => answer(() => lookUp.event(checked('id', id))),
      person: (_: unknown, { identifier }: { identifier: string }) =>
        answer(() => lookUp.persons(checked('identifier', identifier))),
    },
    Mutation: {
      processEvent: (_: unknown, { source, id }: { source: string; id: string }) =>
        answer(() => events.process(source, checked('id', id))),
    },
  };
}

function checked(name: string, value: string): string {
  if (value === '' || value.length > MOST_CHARACTERS || NO_TEXT.test(value)) {
    throw refusal('BAD_USER_INPUT', `${name} is not usable: expected text of 1 to ${MOST_CHARACTERS} characters.`);
  }
  return value;
}

async function answer<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof WarehouseFailure ? failureRefusal(error) : error;
  }
}
