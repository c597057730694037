/** Jest runs the TypeScript sources as native ES modules; servers in test/stack are real, so tests there take their time. */
export default {
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'es6' } },
    ],
  },
  testTimeout: 240_000,
  reporters: ['default', '<rootDir>/test/closing-line-reporter.cjs'],
  maxWorkers: 2,
};
