import { z } from 'zod';
import { pipelineSchema } from './schema.js';

/** The JSON Schema of pipeline.yaml for editors: what people may write, so names with a default are optional. */
export function pipelineJsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(pipelineSchema, { io: 'input', reused: 'ref' }), title: 'dayfill pipeline' };
}
