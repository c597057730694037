import { executeChild, proxyActivities } from '@temporalio/workflow';

const { run } = proxyActivities({ startToCloseTimeout: '1 minute' });

/** Two no-op steps, one after the other. */
export async function day() {
  await run('true');
  await run('true');
}

/** So many days, one after the other, each a workflow of its own. */
export async function days(count, label) {
  for (let n = 0; n < count; n += 1) await executeChild(day, { workflowId: `${label}/${n}` });
}
