// Writes docs/pipeline.schema.json from the zod schema of the built sources; a unit test holds the two equal.
import { writeFileSync } from 'node:fs';
import { pipelineJsonSchema } from '../dist/pipeline/json-schema.js';

writeFileSync(
  new URL('../docs/pipeline.schema.json', import.meta.url),
  JSON.stringify(pipelineJsonSchema(), null, 2) + '\n',
);
