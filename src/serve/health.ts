import { setTimeout } from 'node:timers/promises';
import { type Response, Router } from 'express';
import { READY_TIMEOUT_MS } from './limits.js';
import type { ServedWarehouse } from './warehouse.js';

/** `/healthz`: the process answers. `/readyz`: calls can be answered. Neither needs a token. */
export function healthRoutes(warehouse: ServedWarehouse, shuttingDown: AbortSignal): Router {
  let asked: Promise<boolean> | null = null;

  /** Those who ask meanwhile get the same answer: without a token nobody can make the warehouse busy. */
  function answers(): Promise<boolean> {
    asked ??= answersInTime(warehouse).finally(() => {
      asked = null;
    });
    return asked;
  }

  const say = (response: Response, code: number, status: string) => response.status(code).json({ status });
  return Router()
    .get('/healthz', (_request, response) => {
      say(response, 200, 'ok');
    })
    .get('/readyz', async (_request, response) => {
      if (shuttingDown.aborted) say(response, 503, 'shutting down');
      else if (await answers()) say(response, 200, 'ready');
      else say(response, 503, 'the warehouse does not answer');
    });
}

async function answersInTime(warehouse: ServedWarehouse): Promise<boolean> {
  const answered = warehouse.ping().then(
    () => true,
    () => false,
  );
  return Promise.race([answered, setTimeout(READY_TIMEOUT_MS, false, { ref: false })]);
}
