import { Command } from 'commander';
import { examine } from '../client/doctor.js';
import { loadConfig } from '../config.js';
import { printJson } from './options.js';

/** `dayfill doctor`: looks at everything that dayfill needs; exit code 1 when something is wrong. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('check everything that dayfill needs, and say what to do about what is wrong')
    .option('--json', 'print one JSON document: {"ok","checks":[{"name","ok","message"}]}')
    .addHelpText('after', '\nExample:\n  dayfill doctor')
    .action(async (options: { json?: true }) => {
      const checks = await examine(loadConfig());
      const ok = checks.every((check) => check.ok);
      if (options.json) printJson({ ok, checks });
      else for (const check of checks) console.log(`${check.ok ? 'ok   ' : 'WRONG'}  ${check.name}: ${check.message}`);
      if (!ok) process.exitCode = 1;
    });
}
