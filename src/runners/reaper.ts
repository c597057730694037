/**
 * The worker's last will: a program of its own that is told by its standard input which process groups live (`+<pgid>`,
 * `-<pgid>`, a line each), and kills them when that input ends, which it does however the worker ends. Whoever stops
 * a worker in good order has told it first that no group lives.
 */
import { createInterface } from 'node:readline';

const groups = new Set<number>();
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const group = Math.abs(Number(line));
    if (line.startsWith('+')) groups.add(group);
    else groups.delete(group);
  })
  .on('close', () => {
    for (const group of groups) {
      try {
        process.kill(-group, 'SIGKILL');
      } catch {
        // it ended by itself
      }
    }
    process.exit();
  });
