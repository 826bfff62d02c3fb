/**
 * How long the session goes on, as `aiinfn_hub.contract.life` writes it; and how it reads. Pure.
 */
import { clock, left } from './times.js';

export interface Life {
  flavour: string;
  /** Unix seconds. */
  started: number;
  /** When it is stopped; null for never. */
  ends: number | null;
  /** Seconds that one click adds; 0 for none. */
  extend_s: number;
  /** Seconds without use after which it is stopped; null for never. */
  idle_after_s: number | null;
  /** Since when nothing happened in it; null where it is used, or nobody knows. */
  idle_since: number | null;
  /** What nobody measures, so that it is not stopped for being idle; "" for nothing. */
  idle_unknown: string;
}

/** One line for the status bar. */
export function reads(life: Life, now: number): string {
  return life.ends === null ? '' : `ends ${clock(life.ends, now)} (${left(life.ends - now)})`;
}

/** What a click on that line tells. */
export function explains(life: Life, now: number): string[] {
  const lines = [];
  if (life.ends !== null) {
    lines.push(`${life.flavour}: this session ends at ${clock(life.ends, now)} (${left(life.ends - now)}).`);
    lines.push(
      life.extend_s > 0
        ? `It can be extended by ${span(life.extend_s)} now, if your quota has room.`
        : 'It has the longest time that it may have.'
    );
  }
  if (life.idle_after_s !== null) {
    lines.push(`Nobody should hold what nobody uses: after ${span(life.idle_after_s)} without any use it is stopped.`);
    if (life.idle_unknown) {
      lines.push(`That does not happen now, because ${life.idle_unknown}.`);
    } else if (life.idle_since !== null) {
      lines.push(`Nothing has happened in it since ${clock(life.idle_since, now)}.`);
    } else {
      lines.push('It is used now.');
    }
  }
  lines.push('You get notice before, and what is open is saved.');
  return lines;
}

/** Seconds in words, rounded down: nobody is promised a minute more than there is. */
export function span(seconds: number): string {
  const minutes = Math.max(1, Math.floor(seconds / 60));
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  return hours === 0 ? `${minutes} min` : rest === 0 ? `${hours} h` : `${hours} h ${rest} min`;
}
