/**
 * Sweeps as `aiinfn_hub.contract.sweeps` writes them, and their table. Pure; times in Unix seconds.
 */
import { counted, over, type Job } from './jobs.js';

export interface Sweep {
  id: string;
  name: string;
  at_once: number;
  submitted_at: number;
  /** The latest job of each point, in the order of the points. */
  jobs: Job[];
}

/** A cell of the table: what is read, what is compared, and its share of the largest amount where it is drawn. */
export interface Cell {
  text: string;
  value: number | string | null;
  share: number | null;
}

export interface Line {
  job: Job;
  cells: Cell[];
}

/** The order in which states are counted: what goes on first. */
const ORDER = ['running', 'starting', 'evicted', 'pending-remote', 'queued', 'staging', 'succeeded', 'failed', 'cancelled', 'lost'];

/** How many are in each state, in words. */
export function tally(jobs: readonly Job[]): string {
  const counts = new Map<string, number>();
  for (const job of jobs) {
    counts.set(job.state, (counts.get(job.state) ?? 0) + 1);
  }
  return ORDER.filter(state => counts.has(state))
    .map(state => `${counts.get(state)} ${state}`)
    .join(', ');
}

/** What was measured in any of them. */
export function measured(jobs: readonly Job[]): string[] {
  return [...new Set(jobs.flatMap(job => Object.keys(job.metrics)))];
}

export function titles(jobs: readonly Job[]): string[] {
  return [...Object.keys(jobs[0]?.point ?? {}), 'state', ...measured(jobs), 'took', 'note'];
}

export function lines(jobs: readonly Job[], now: number): Line[] {
  const points = Object.keys(jobs[0]?.point ?? {});
  const metrics = measured(jobs);
  const largest = metrics.map(name => Math.max(0, ...jobs.map(job => Math.abs(job.metrics[name] ?? 0))));
  return jobs.map(job => ({
    job,
    cells: [
      ...points.map(name => plain(job.point[name] ?? null)),
      plain(job.state),
      ...metrics.map((name, place) => number(job, name, largest[place]!)),
      took(job, now),
      plain(job.state === 'succeeded' ? '' : job.verdict || job.reason)
    ]
  }));
}

/** The lines by a column; those that have nothing there are last, whichever way. */
export function sorted(found: readonly Line[], column: number, down: boolean): Line[] {
  const empty = (line: Line) => line.cells[column]!.value === null;
  const way = down ? -1 : 1;
  return [...found].sort((one, other) => {
    const [a, b] = [one.cells[column]!.value, other.cells[column]!.value];
    if (empty(one) || empty(other)) {
      return Number(empty(one)) - Number(empty(other));
    }
    return way * (typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b)));
  });
}

function plain(value: string | number | boolean | null): Cell {
  return { text: value === null ? 'None' : String(value), value: typeof value === 'boolean' ? Number(value) : value, share: null };
}

function number(job: Job, name: string, largest: number): Cell {
  if (!(name in job.metrics)) {
    return { text: '', value: null, share: null };
  }
  const value = job.metrics[name] ?? null;
  const share = value === null || !largest ? null : Math.abs(value) / largest;
  return { text: value === null ? 'nan' : String(Number(value.toPrecision(6))), value, share };
}

function took(job: Job, now: number): Cell {
  const seconds = job.started_at === null ? null : (job.finished_at ?? (over(job) ? job.started_at : now)) - job.started_at;
  return { text: seconds === null ? '' : counted(seconds), value: seconds, share: null };
}
