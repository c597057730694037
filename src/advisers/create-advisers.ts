import type { Logger } from 'pino';
import type { Config } from '../config.js';
import type { Adviser } from './adviser.js';
import { ModelAdviser } from './model/model-adviser.js';
import { provide } from './model/provider.js';
import { pastDecisionAdviser } from './past-decisions.js';
import { RulesAdviser } from './rules/rules-adviser.js';

/**
 * Those who are asked, in this order, until one has a fix that will do: what healed the same failure before, the model
 * where the settings name one, the rules.
 * @param environment where the model's key is.
 */
export function createAdvisers(
  { adviser }: Pick<Config, 'adviser'>,
  logger: Logger,
  environment: NodeJS.ProcessEnv = process.env,
): Adviser[] {
  const { kind, model, url } = adviser;
  const asked = kind === 'model' ? [modelAdviser()] : [];
  return [pastDecisionAdviser, ...asked, new RulesAdviser(logger)];

  function modelAdviser(): Adviser {
    return new ModelAdviser({ name: model, provided: provide(model, url, environment), logger });
  }
}
