/**
 * Where displays that can be updated stand among the outputs of a job: one id may stand in several places. Pure.
 */
import type { Frame } from './jobs.js';

export class Displays {
  /** The places that show what this frame brings; as notebooks do it, an update of an unknown id is shown nowhere. */
  of(frame: Frame): readonly number[] {
    return this.places.get(frame.transient?.display_id ?? '') ?? [];
  }

  /** A frame was added at this place. */
  added(frame: Frame, place: number): void {
    const name = frame.transient?.display_id;
    if (name) {
      this.places.set(name, [...this.of(frame), place]);
    }
  }

  /** All that was shown is not shown any more. */
  clear(): void {
    this.places.clear();
  }

  private readonly places = new Map<string, number[]>();
}
