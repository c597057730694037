import { readFileSync } from 'node:fs';
import { expect, it } from '@jest/globals';
import { pipelineJsonSchema } from '../../../src/pipeline/json-schema.js';

it('docs/pipeline.schema.json is the schema of the file; npm run schema writes it', () => {
  const written = JSON.parse(readFileSync('docs/pipeline.schema.json', 'utf8'));
  expect(written).toEqual(JSON.parse(JSON.stringify(pipelineJsonSchema())));
});
