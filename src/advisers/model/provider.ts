import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import type { LanguageModel } from 'ai';

const PROVIDERS = {
  anthropic: { key: 'ANTHROPIC_API_KEY', create: createAnthropic },
  openai: { key: 'OPENAI_API_KEY', create: createOpenAI },
} as const;

/** A model, or why there is none. */
export interface Provided {
  /** Environment variable of its key. */
  keyName: string;
  /** Null without a key. */
  model: LanguageModel | null;
}

/**
 * The model of a name such as `anthropic/claude-sonnet-4-5`.
 * @param url base address of a proxy that speaks as the provider does; null for the provider itself.
 * @param environment where the key is, and nowhere else.
 */
export function provide(name: string, url: string | null, environment: NodeJS.ProcessEnv): Provided {
  const slash = name.indexOf('/');
  const { key, create } = PROVIDERS[name.slice(0, slash) as keyof typeof PROVIDERS];
  const apiKey = environment[key];
  if (apiKey === undefined || apiKey === '') return { keyName: key, model: null };
  return { keyName: key, model: create({ apiKey, ...(url !== null && { baseURL: url }) })(name.slice(slash + 1)) };
}
