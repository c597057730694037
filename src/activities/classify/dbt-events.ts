import type { StepHeartbeat } from '../../contracts/step.js';

/** The part of dbt's structured log events that is used here. */
interface DbtEvent {
  info?: { name?: string; level?: string; msg?: string; ts?: string; invocation_id?: string };
  data?: { total?: number; num_models?: number; node_info?: { node_name?: string; unique_id?: string } };
}

const NODE_ENDED = /^(?:Log\w*Result|Skipping\w*|LogSkip\w*|LogNodeNoOp\w*)$/;

/** Follows the events of a dbt build, a JSON line each; a process that stays parses the project by an invocation of its own before. */
export class DbtEvents {
  /** Of the invocation that spoke last; null until one has. */
  invocationId: string | null = null;
  /** What dbt reported as errors, in order; each is one message. */
  readonly errors: string[] = [];
  private readonly ended = new Set<string>();

  constructor(private readonly report: (progress: StepHeartbeat) => void) {}

  /** Takes a line of stdout and returns what people want to read of it; null for nothing. */
  take(line: string): string | null {
    const event = parsed(line);
    if (event?.info === undefined) return line;
    const { name = '', level, msg = '', ts = '', invocation_id: id } = event.info;
    if (id !== undefined) this.invocationId = id;
    if (level === 'error') this.errors.push(msg.trim());
    this.followNode(name, event.data);
    return msg.trim() === '' ? null : `${ts.slice(11, 19)}  ${msg}`;
  }

  private followNode(name: string, data: DbtEvent['data']): void {
    const node = data?.node_info;
    const total = data?.total ?? data?.num_models;
    if (node?.unique_id === undefined || node.node_name === undefined || total === undefined) return;
    if (NODE_ENDED.test(name)) this.ended.add(node.unique_id);
    this.report({ done: this.ended.size, total, current: node.node_name });
  }
}

function parsed(line: string): DbtEvent | null {
  if (!line.startsWith('{')) return null;
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
