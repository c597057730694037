import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The processes that have to do with a folder: by their environment, their working directory or their arguments. Linux only. */
export function processesOf(folder) {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.filter((pid) => pid !== process.pid && mentions(pid, folder));
}

/** What they hold in memory; what several share counts once (PSS). */
export function memoryOf(pids) {
  const kilobytes = (pid) =>
    Number(/^Pss:\s+(\d+)/m.exec(read(() => readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')))?.[1] ?? 0);
  return pids.reduce((sum, pid) => sum + kilobytes(pid) * 1024, 0);
}

/** SIGKILL to all of them, until none is left. */
export function killAll(folder) {
  for (let left = processesOf(folder); left.length > 0; left = processesOf(folder)) {
    for (const pid of left) read(() => process.kill(pid, 'SIGKILL'));
  }
}

function mentions(pid, folder) {
  const isIn = (text) => text.includes(folder);
  return (
    isIn(read(() => readlinkSync(`/proc/${pid}/cwd`))) ||
    isIn(read(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))) ||
    isIn(read(() => readFileSync(`/proc/${pid}/environ`, 'utf8')))
  );
}

/** Empty for a process that is gone meanwhile; a zombie has neither directory nor arguments. */
function read(look) {
  try {
    return look();
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(error.code)) return '';
    throw error;
  }
}
