/** The page's side of the worker: each request is a promise. */

import type { FromWorker, RequestName, Requests } from './protocol.js';

/** What the worker could not do. `users`: the choice was wrong; otherwise the message has a stack. */
export class EngineError extends Error {
  constructor(message: string, readonly users: boolean) {
    super(message);
  }
}

type Notice = Extract<FromWorker, { kind: 'progress' | 'console' | 'screen' }>;

export class EngineClient {
  private readonly worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'xenolith' });
  private readonly waiting = new Map<number, { resolve: (value: never) => void; reject: (e: Error) => void }>();
  private nextId = 1;

  constructor(hear: (notice: Notice) => void, broken: (message: string) => void) {
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.kind === 'answer') this.take(data.id)?.resolve(data.result as never);
      else if (data.kind === 'failed') this.take(data.id)?.reject(new EngineError(data.message, data.users));
      else if (data.kind !== 'ready') hear(data);
    };
    this.worker.onerror = (e) => broken(e.message || 'the engine could not be loaded');
  }

  ask<N extends RequestName>(name: N, args: Requests[N]['args']): Promise<Requests[N]['result']> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, name, args });
    });
  }
  interrupt(): void {
    this.worker.postMessage({ interrupt: true });
  }
  private take(id: number) {
    const found = this.waiting.get(id);
    this.waiting.delete(id);
    return found;
  }
}
