import { once } from 'node:events';
import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs';
import path from 'node:path';
import { maskPersonal } from './mask.js';
import { lastBytes } from './text.js';

const TAIL_BYTES = 2048;

/** The log of one attempt at a step: every line is masked before it is written; the last 2 KB are at hand as the tail. */
export class LogFile {
  private recent: string[] = [];
  private recentLength = 0;
  private failure: Error | null = null;

  private constructor(
    /** Where it is, relative to the state directory. */
    readonly path: string,
    /** Where it is. */
    readonly absolutePath: string,
    private readonly stream: WriteStream,
  ) {
    stream.on('error', (error) => {
      this.failure = error;
    });
  }

  /** Makes the file and the folders above it. */
  static async create(stateDir: string, relativePath: string): Promise<LogFile> {
    const absolutePath = path.join(stateDir, relativePath);
    mkdirSync(path.dirname(absolutePath), { recursive: true });
    const stream = createWriteStream(absolutePath, { flags: 'wx', mode: 0o600 });
    await once(stream, 'open');
    return new LogFile(relativePath, absolutePath, stream);
  }

  /** Writes a line, without its line break. Callers that write much wait for `drained` now and then. */
  write(line: string): void {
    const masked = maskPersonal(line);
    this.stream.write(`${masked}\n`);
    this.recent.push(masked);
    this.recentLength += masked.length + 1;
    while (this.recent.length > 1 && this.recentLength - this.recent[0]!.length > TAIL_BYTES) {
      this.recentLength -= this.recent.shift()!.length + 1;
    }
  }

  /** Resolves when the disk has caught up enough to go on writing. */
  async drained(): Promise<void> {
    if (this.stream.writableNeedDrain && this.failure === null) await once(this.stream, 'drain');
  }

  /** The last lines, masked, at most 2 KB. */
  tail(): string {
    return lastBytes(this.recent.join('\n'), TAIL_BYTES);
  }

  /** @throws when something could not be written, such as on a full disk. */
  async close(): Promise<void> {
    if (!this.stream.destroyed) {
      this.stream.end();
      await once(this.stream, 'close');
    }
    if (this.failure !== null) throw new Error(`The log ${this.path} could not be written: ${this.failure.message}.`);
  }
}
