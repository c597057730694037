import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { validateCommand } from '../../../src/cli/validate.js';
import { changed, EXAMPLE, SMALL, World } from './world.js';

let world: World;
const before = { ...process.env };
beforeEach(() => {
  world = new World();
  world.load('talbots', EXAMPLE);
  world.write('pipelines/small/pipeline.yaml', changed(SMALL, 'every: 1d', 'every: x'));
  process.env.DAYFILL_PIPELINES = world.pipelines;
  process.env.DAYFILL_VENV = world.venv;
  process.env.DAYFILL_STATE_DIR = world.root;
});
afterEach(() => {
  world.remove();
  process.env = { ...before };
});

/** Lines on stdout, and the exit code that the process would end with. */
async function validate(...args: string[]): Promise<{ lines: string[]; exitCode: number }> {
  const printed = jest.spyOn(console, 'log').mockImplementation(() => {});
  const codeBefore = process.exitCode;
  process.exitCode = 0;
  try {
    await validateCommand().parseAsync(args, { from: 'user' });
    return { lines: printed.mock.calls.map(([line]) => String(line)), exitCode: Number(process.exitCode) };
  } finally {
    printed.mockRestore();
    process.exitCode = codeBefore;
  }
}

describe('dayfill validate', () => {
  it('says ok', async () => {
    expect(await validate('talbots')).toEqual({ lines: ['ok talbots'], exitCode: 0 });
  });

  it('checks all pipelines and says every problem', async () => {
    expect(await validate()).toEqual({
      lines: [
        `${world.pipelines}/small/pipeline.yaml:2:21 partition.every: expected days, such as 1d or 30d`,
        'ok talbots',
      ],
      exitCode: 1,
    });
  });

  it('prints one JSON document', async () => {
    const { lines, exitCode } = await validate('--json');
    expect(exitCode).toBe(1);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toEqual({
      pipelines: [
        {
          pipeline: 'small',
          problems: [
            {
              file: `${world.pipelines}/small/pipeline.yaml`,
              line: 2,
              column: 21,
              path: 'partition.every',
              message: 'expected days, such as 1d or 30d',
            },
          ],
        },
        { pipeline: 'talbots', problems: [] },
      ],
    });
  });

  it('knows the pipelines there are', async () => {
    expect(await validate('nothing')).toEqual({
      lines: [`${world.pipelines}/nothing/pipeline.yaml: there is no pipeline "nothing"; there is small, talbots`],
      exitCode: 1,
    });
  });
});
