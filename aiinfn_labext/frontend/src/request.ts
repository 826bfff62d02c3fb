/**
 * The only place that opens a connection: to the person's own Jupyter server, with its own cookies.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { Frame, Job } from './jobs.js';
import type { Life } from './life.js';
import type { Notice } from './notices.js';
import type { Sweep } from './sweeps.js';

/** What the server says where something is wrong. */
interface Failure {
  error?: { message: string; hint: string };
}

/** What the websocket says. An error is about the jobs: the service does not answer. */
interface Message extends Failure {
  notices?: Notice[];
  life?: Life;
  jobs?: Job[];
  until?: number | null;
}

export interface Why {
  state: string;
  sentence: string;
  next_step: string;
  evidence: string[];
}

/**
 * Ask the server for an act on this session: `keep` or `extend`. Rejects with what the server says, or cannot say.
 */
export async function act(settings: ServerConnection.ISettings, name: string, body: object): Promise<Life> {
  const answer = await call(settings, name, { method: 'POST', body: JSON.stringify(body) });
  return (await answer.json()) as Life;
}

/** What the server said no to. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly status: number
  ) {
    super(message);
  }
}

function sentence(error: { message: string; hint: string }): string {
  return [error.message, error.hint].filter(part => part).join(' ');
}

async function call(settings: ServerConnection.ISettings, path: string, init: RequestInit = {}): Promise<Response> {
  const url = URLExt.join(settings.baseUrl, 'aiinfn', 'api', path);
  const answer = await ServerConnection.makeRequest(url, init, settings);
  if (!answer.ok) {
    const said = (await answer.json().catch(() => ({}))) as Failure;
    throw new Refused(said.error ? sentence(said.error) : `The server answered ${answer.status}.`, answer.status);
  }
  return answer;
}

/** What is asked about sweeps, and done to them. Each rejects as those about jobs do. */
export interface SweepActs {
  sweep(id: string): Promise<Sweep>;
  cancelSweep(id: string): Promise<Sweep>;
  /** Run again what has ended otherwise than well. */
  retrySweep(id: string): Promise<Sweep>;
}

/** What is asked about jobs, and done to them. Each rejects with what the server says, or cannot say. */
export class JobActs implements SweepActs {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  async job(id: string): Promise<Job> {
    return (await call(this.settings, `jobs/${id}`)).json() as never;
  }

  /** Jobs that were submitted at that time or earlier, newest first. */
  async older(before: number, limit: number): Promise<Job[]> {
    const answer = await call(this.settings, `jobs?before=${before}&limit=${limit}`);
    return ((await answer.json()) as { jobs: Job[] }).jobs;
  }

  /** Outputs after a place; waits so many seconds for one, or for another state. */
  async frames(id: string, after: number, wait: number, signal: AbortSignal): Promise<{ job: Job; frames: Frame[] }> {
    return (await call(this.settings, `jobs/${id}/frames?after=${after}&wait=${wait}`, { signal })).json() as never;
  }

  async why(id: string): Promise<Why> {
    return (await call(this.settings, `jobs/${id}/why`)).json() as never;
  }

  async cancel(id: string): Promise<Job> {
    return this.post(id, 'cancel', {});
  }

  /** The same again, with other amounts as people write them. */
  async retry(id: string, changes: Record<string, string>): Promise<Job> {
    return this.post(id, 'retry', changes);
  }

  async extend(id: string, time: string): Promise<Job> {
    return this.post(id, 'extend', { time });
  }

  async sweep(id: string): Promise<Sweep> {
    return (await call(this.settings, `sweeps/${id}`)).json() as never;
  }

  async cancelSweep(id: string): Promise<Sweep> {
    return (await call(this.settings, `sweeps/${id}/cancel`, { method: 'POST', body: '{}' })).json() as never;
  }

  async retrySweep(id: string): Promise<Sweep> {
    return (await call(this.settings, `sweeps/${id}/retry`, { method: 'POST', body: '{}' })).json() as never;
  }

  /** Save a value of a job as a file of the person's own machine. */
  async download(job: Job, name: string): Promise<void> {
    const answer = await call(this.settings, `jobs/${job.id}/outputs/${encodeURIComponent(name)}`);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `${job.name}.${name}`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  private async post(id: string, act: string, body: object): Promise<Job> {
    return (await call(this.settings, `jobs/${id}/${act}`, { method: 'POST', body: JSON.stringify(body) })).json() as never;
  }
}

/** Seconds before the first and between the later tries to connect again. */
const FIRST_S = 1;
const LONGEST_S = 30;

/**
 * Listen to the one websocket of the page until `close` is called. A connection that breaks is opened again, later each
 * time, and never by all pages of a restarted server at the same moment.
 *
 * No token goes into the address, where logs would keep it: the cookie of the page is enough.
 */
export class Events {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly onNotices: (notices: Notice[]) => void,
    private readonly onLife: (life: Life) => void,
    private readonly jobs: { heard(jobs: Job[], until?: number | null): void; fail(message: string): void }
  ) {
    this.open();
  }

  close(): void {
    this.closed = true;
    window.clearTimeout(this.timer);
    this.socket?.close();
  }

  private open(): void {
    const socket = new this.settings.WebSocket(URLExt.join(this.settings.wsUrl, 'aiinfn', 'events'));
    this.socket = socket;
    socket.onmessage = (event: MessageEvent<string>) => {
      this.pause = FIRST_S;
      const message = JSON.parse(event.data) as Message;
      if (message.notices) {
        this.onNotices(message.notices);
      }
      if (message.life) {
        this.onLife(message.life);
      }
      if (message.jobs) {
        this.jobs.heard(message.jobs, message.until);
      }
      if (message.error) {
        this.jobs.fail(sentence(message.error));
      }
    };
    socket.onclose = () => {
      if (!this.closed) {
        this.jobs.fail('Your Jupyter server does not answer.');
        this.timer = window.setTimeout(() => this.open(), this.pause * 1000 * (0.5 + Math.random()));
        this.pause = Math.min(LONGEST_S, this.pause * 2);
      }
    };
  }

  private closed = false;
  private pause = FIRST_S;
  private socket: WebSocket | null = null;
  private timer: number | undefined;
}
