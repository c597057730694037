import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { stackFile } from '../config.js';
import { BOOT } from '../runners/processes.js';
import type { Service } from './service.js';

const entrySchema = z.object({
  name: z.string(),
  pid: z.number().int().positive(),
  /** Together with the pid it names one process; see startTimeOf. */
  startTime: z.string(),
  address: z.string(),
  port: z.number().int().nullable(),
  version: z.string().nullable(),
});
const fileSchema = z.object({ boot: z.string(), services: z.array(entrySchema) });

/** One endpoint of a service that was started. */
export type StackEntry = z.infer<typeof entrySchema>;

/** `<state dir>/stack.json`: what was started, and where it listens. Written whole, at every change. */
export class StateFile {
  private readonly file: string;
  private services: StackEntry[];

  constructor(stateDir: string) {
    this.file = stackFile(stateDir);
    this.services = this.read();
  }

  /** The entries of a service, in the order of its endpoints; null when it was not started. */
  of(service: Service): StackEntry[] | null {
    const entries = service.endpoints.map(({ name }) => this.services.find((entry) => entry.name === name));
    return entries.every((entry) => entry !== undefined) ? entries : null;
  }

  addresses(): Record<string, string> {
    return Object.fromEntries(this.services.map(({ name, address }) => [name, address]));
  }

  put(entries: StackEntry[]): void {
    this.services = [...this.without(entries.map(({ name }) => name)), ...entries];
    this.write();
  }

  remove(service: Service): void {
    this.services = this.without(service.endpoints.map(({ name }) => name));
    this.write();
  }

  private without(names: string[]): StackEntry[] {
    return this.services.filter(({ name }) => !names.includes(name));
  }

  /** Entries of an earlier boot keep their ports; their process ids mean nothing any more. */
  private read(): StackEntry[] {
    if (!existsSync(this.file)) return [];
    const { boot, services } = fileSchema.parse(JSON.parse(readFileSync(this.file, 'utf8')));
    return boot === BOOT
      ? services
      : services.map((entry) => ({ ...entry, startTime: `${entry.startTime} (${boot})` }));
  }

  private write(): void {
    if (this.services.length === 0) {
      rmSync(this.file, { force: true });
      return;
    }
    mkdirSync(path.dirname(this.file), { recursive: true });
    const unfinished = `${this.file}.${process.pid}`;
    writeFileSync(unfinished, `${JSON.stringify({ boot: BOOT, services: this.services }, null, 2)}\n`);
    renameSync(unfinished, this.file);
  }
}
