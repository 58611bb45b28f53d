/** The runs of a comparison on worker threads: each worker takes one run after the other, until none is left. */

import { Worker } from 'node:worker_threads';
import type { ExtensionName, PathName } from '../experiments/paths.js';
import type { FromWorker, Job, WorkerData } from './compare-worker.js';

export interface Planned {
  readonly job: Job;
  readonly extension: ExtensionName;
  readonly name: string;
}

/** What is heard of the runs while they go on. */
export interface Listener {
  progress(p: Planned, workload: string): void;
  row(p: Planned, m: FromWorker & { kind: 'row' }): void;
  finished(p: Planned, m: FromWorker & { kind: 'done' }): void;
  failed(p: Planned, message: string): void;
}

/** Paths by the time that they take, longest first: all workers then end at about the same time. Results do not depend on it. */
const BY_LENGTH: readonly PathName[] = ['hvm', 'pvhvm', 'pv', 'native'];

function tell(on: Listener, planned: Planned, m: FromWorker): void {
  switch (m.kind) {
    case 'progress': return on.progress(planned, m.workload);
    case 'row': return on.row(planned, m);
    case 'done': return on.finished(planned, m);
    case 'failed': return on.failed(planned, m.message);
  }
}

/**
 * Runs the jobs on `threads` workers, until all have ended or `stop` says so. A job that fails does not end the others.
 * Rejects with what a listener throws, after ending everything.
 */
export function runAll(jobs: readonly Planned[], threads: number, workerData: WorkerData, on: Listener, stop: AbortSignal): Promise<void> {
  const queue = [...jobs].sort((a, b) => BY_LENGTH.indexOf(a.job.path) - BY_LENGTH.indexOf(b.job.path));
  const live = new Set<Worker>();
  return new Promise((resolve, reject) => {
    const end = (worker: Worker): void => {
      if (!live.delete(worker)) return;
      void worker.terminate();
      if (live.size === 0) resolve();
    };
    const endAll = (): void => {
      queue.length = 0;
      for (const worker of [...live]) end(worker);
    };
    const start = (): void => {
      const worker = new Worker(new URL('./compare-worker.js', import.meta.url), { workerData });
      let planned: Planned | undefined;
      const next = (): void => {
        // A job on the same processor: what the worker has compiled for one serves the next.
        const same = queue.findIndex((p) => p.name === planned?.name);
        planned = queue.splice(Math.max(same, 0), 1)[0];
        if (planned === undefined) end(worker);
        else worker.postMessage(planned.job);
      };
      const hear = (m: FromWorker): void => {
        if (planned === undefined || !live.has(worker)) return;
        try {
          tell(on, planned, m);
        } catch (e) {
          reject(e);
          endAll();
        }
      };
      live.add(worker);
      worker.on('message', (m: FromWorker) => {
        hear(m);
        if (m.kind === 'done' || m.kind === 'failed') next();
      });
      worker.on('error', (e) => {
        hear({ kind: 'failed', message: e instanceof Error ? e.message : String(e) });
        // The worker is gone, with what it ran; another takes the rest.
        if (queue.length > 0) start();
        end(worker);
      });
      worker.on('exit', () => end(worker));
      next();
    };
    stop.addEventListener('abort', endAll);
    for (let i = 0; i < Math.min(threads, jobs.length); i++) start();
  });
}
