/**
 * Jobs as `aiinfn_hub.contract.jobs` writes them; how they are kept, chosen and read. Pure; times in Unix seconds.
 */
import { span } from './life.js';
import { clock } from './times.js';

export interface Value {
  /** Empty for a value that did not come back; `summary` says why. */
  codec: string;
  sha256: string;
  size: number;
  summary: string;
}

export interface Job {
  id: string;
  name: string;
  state: string;
  reason: string;
  target: string;
  activity: string;
  flavour: string;
  resources: { cpu_millis: number; memory_bytes: number; gpu: string; time_s: number };
  submitted_at: number;
  started_at: number | null;
  finished_at: number | null;
  attempt: number;
  verdict: string;
  outputs: Record<string, Value>;
  memory: number | null;
  checkpointed_at: number | null;
  metrics: Record<string, number | null>;
  /** Empty for a job of its own. */
  sweep: string;
  point: Record<string, string | number | boolean | null>;
  /** Its place in the queue, and when half of such jobs have started; null where it has none. */
  waiting: { place: number; number: number; early: number | null; late: number | null; cases: number } | null;
}

/** An output as nbformat writes it, and its place among those of the job. */
export interface Frame {
  seq: number;
  output_type: string;
  transient?: { display_id?: string };
  wait?: boolean;
}

const FINAL = new Set(['succeeded', 'failed', 'cancelled', 'lost']);

/** A shape for each state, beside its word: colour alone says nothing. */
const SHAPES: Record<string, string> = {
  staging: '◌',
  queued: '○',
  'pending-remote': '○',
  starting: '◔',
  running: '▶',
  evicted: '↺',
  succeeded: '✓',
  failed: '✕',
  cancelled: '–',
  lost: '?'
};

/** Those of the list that are drawn at once. */
export const AT_ONCE = 100;
/** Seconds after which what is shown says how old it is. */
const OLD_S = 30;

export function over(job: Job): boolean {
  return FINAL.has(job.state);
}

export function shape(job: Job): string {
  return SHAPES[job.state] ?? '?';
}

/** Where it is, and since when, in one line. */
export function reads(job: Job, now: number): string {
  const attempt = job.attempt > 1 ? `, attempt ${job.attempt}` : '';
  const limit = span(job.resources.time_s);
  if (job.state === 'running') {
    const place = job.reason.startsWith('on ') ? ` ${job.reason}` : ` on ${job.target}`;
    const since = job.started_at === null ? '' : ` · ${counted(now - job.started_at)} of ${limit}`;
    return `running${place}${attempt}${since}`;
  }
  if (!over(job)) {
    const place = job.waiting ? ` · place ${job.waiting.place} of ${job.waiting.number}` : '';
    return `${job.state}${attempt}${place} · for ${counted(now - job.submitted_at)}`;
  }
  const took = job.started_at === null ? '' : ` after ${counted((job.finished_at ?? now) - job.started_at)}`;
  const where = job.started_at === null ? '' : ` on ${job.target}`;
  return `${job.state}${where}${attempt}${took} · ${clock(job.finished_at ?? job.submitted_at, now)}`;
}

/** Why it is so, what it has kept and what it takes, where there is something to say. */
export function notes(job: Job, now: number): string[] {
  const said = over(job) ? job.verdict || job.reason : job.state === 'running' ? silence(job.reason) : job.reason;
  const kept = job.checkpointed_at !== null && !over(job) ? `Its work of ${clock(job.checkpointed_at, now)} is kept.` : '';
  const memory = job.memory ? `It took up to ${bytes(job.memory)} of its ${bytes(job.resources.memory_bytes)} of memory.` : '';
  const metrics = Object.entries(job.metrics).map(([name, value]) => `${name} ${value === null ? 'nan' : Number(value.toPrecision(6))}`);
  return [said, outlook(job, now), metrics.join(' · '), kept, memory].filter(line => line);
}

/** When such jobs have started before. */
function outlook(job: Job, now: number): string {
  if (!job.waiting) {
    return '';
  }
  const { early, late, cases } = job.waiting;
  return early === null || late === null
    ? `Too few like it have waited to say when it starts (${cases}).`
    : `Usually such jobs start between ${clock(early, now)} and ${clock(late, now)} (of ${cases}).`;
}

/** What comes behind the place in the reason of a job that runs: that nothing was heard of it. */
function silence(reason: string): string {
  return reason.startsWith('on ') ? reason.split('; ').slice(1).join('; ') : '';
}

/** What is drawn as one in the list: a job, or those of a sweep, under the identifier of either. */
export interface Entry {
  id: string;
  jobs: Job[];
}

/** Jobs in their order, those of a sweep together in the place of the first. */
export function entries(jobs: readonly Job[]): Entry[] {
  const found = new Map<string, Entry>();
  for (const job of jobs) {
    const id = job.sweep || job.id;
    const entry = found.get(id) ?? { id, jobs: [] };
    entry.jobs.push(job);
    found.set(id, entry);
  }
  return [...found.values()];
}

/** The name of a sweep, from that of one of its points. */
export function swept(job: Job): string {
  return job.name.replace(/-\d+$/, '');
}

/** Minutes and seconds as a clock counts them. */
export function counted(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map(part => String(part).padStart(2, '0'));
  return [...(whole >= 3600 ? [Math.floor(whole / 3600)] : []), ...parts].join(':');
}

export function bytes(amount: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = amount > 0 ? Math.min(units.length - 1, Math.floor(Math.log2(amount) / 10)) : 0;
  const value = amount / 1024 ** step;
  return `${value < 10 ? Math.round(10 * value) / 10 : Math.round(value)} ${units[step]}`;
}

/** The jobs of a page: what the server said last, and since when it has not. */
export class Jobs {
  /** False until the server has said something. */
  known = false;
  /** All that were submitted since then are known; null: all that there are. */
  until: number | null = null;
  /** Why there is nothing newer, and since when. */
  failure: { message: string; since: number } | null = null;

  /** What the websocket says: only this is news of all of them. */
  heard(jobs: readonly Job[], until?: number | null): void {
    this.known = true;
    this.failure = null;
    if (until !== undefined) {
      this.until = until;
    }
    this.put(jobs);
  }

  /** Jobs that were asked for. */
  put(jobs: readonly Job[]): void {
    for (const job of jobs) {
      this.byId.set(job.id, job);
    }
  }

  /** A page of those that are older than `until`, of so many at most; how many of them are new. */
  older(jobs: readonly Job[], most: number): number {
    const known = this.size;
    this.put(jobs);
    this.until = jobs.length < most ? null : jobs[jobs.length - 1]!.submitted_at;
    return this.size - known;
  }

  fail(message: string, now: number): void {
    this.failure = { message, since: this.failure?.since ?? now };
  }

  get(id: string): Job | undefined {
    return this.byId.get(id);
  }

  /** How many are not over. */
  get active(): number {
    return [...this.byId.values()].filter(job => !over(job)).length;
  }

  get size(): number {
    return this.byId.size;
  }

  /** Those whose name or state has all of the words, newest first. */
  chosen(words: string): Job[] {
    const wanted = words.toLowerCase().split(/\s+/).filter(word => word);
    return [...this.byId.values()]
      .filter(job => wanted.every(word => job.name.toLowerCase().includes(word) || job.state.startsWith(word)))
      .sort((one, other) => other.submitted_at - one.submitted_at);
  }

  /** What is said above the list; empty while all is well. */
  warning(now: number): string {
    if (!this.failure) {
      return '';
    }
    const age = now - this.failure.since;
    const since = age > OLD_S ? ` What you see is of ${clock(this.failure.since, now)}.` : '';
    return `${this.failure.message}${this.known ? since : ''}`;
  }

  private readonly byId = new Map<string, Job>();
}
