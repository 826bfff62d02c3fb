/**
 * A sweep in the main area: a line for each point, what was measured drawn beside its number. It uses no kernel.
 */
import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { over, shape, type Job } from './jobs.js';
import { element, pressed } from './nodes.js';
import { Refused, type SweepActs } from './request.js';
import { lines, sorted, tally, titles, type Line, type Sweep } from './sweeps.js';

/** Between two looks while some of it goes on. */
const EVERY_MS = 2000;

export class SweepView extends Widget {
  constructor(
    readonly sweep: string,
    name: string,
    private readonly acts: SweepActs,
    private readonly open: (job: Job) => void
  ) {
    super();
    this.id = `aiinfn-sweep-${sweep}`;
    this.addClass('aiinfn-JobView');
    this.addClass('aiinfn-SweepView');
    this.title.label = name;
    this.title.closable = true;
    this.node.tabIndex = 0;
    this.said.setAttribute('role', 'status');
    this.cancel.setAttribute('aria-label', `Cancel all of ${name}`);
    this.retry.setAttribute('aria-label', `Run again what failed of ${name}`);
    const buttons = element('div', 'aiinfn-Job-buttons');
    buttons.append(this.cancel, this.retry);
    const scroll = element('div', 'aiinfn-Sweep-scroll');
    const table = element('table', 'aiinfn-Sweep');
    table.append(this.top, this.body);
    scroll.append(table);
    this.node.append(this.head, this.said, buttons, scroll);
    this.head.textContent = name;
    this.said.textContent = 'Looking for its points ...';
    this.cancel.hidden = this.retry.hidden = true;
    void this.follow();
  }

  override dispose(): void {
    this.stopped = true;
    window.clearTimeout(this.timer);
    super.dispose();
  }

  private async follow(): Promise<void> {
    try {
      this.draw(await this.acts.sweep(this.sweep));
      this.said.textContent = '';
    } catch (error) {
      this.said.textContent = (error as Error).message;
      if (error instanceof Refused && error.status === 404) {
        return; // it is gone for good
      }
    }
    if (!this.stopped && !(this.known && this.known.jobs.every(over) && !this.said.textContent)) {
      this.timer = window.setTimeout(() => void this.follow(), EVERY_MS);
    }
  }

  private draw(sweep: Sweep): void {
    this.known = sweep;
    const all = sweep.jobs.every(over);
    this.title.label = sweep.name;
    this.title.caption = `${sweep.name}: ${tally(sweep.jobs)}`;
    const at = all ? '' : ` · ${sweep.at_once} at once`;
    this.head.textContent = `${sweep.name} · sweep of ${sweep.jobs.length} · ${tally(sweep.jobs)}${at}`;
    this.cancel.hidden = all;
    this.retry.hidden = !sweep.jobs.some(job => over(job) && job.state !== 'succeeded');
    this.fill(sweep);
  }

  /** Rows and heads stay the same nodes while the columns do, so that no button goes away under a finger. */
  private fill(sweep: Sweep): void {
    const names = titles(sweep.jobs);
    if (names.join() !== this.names.join()) {
      this.names = names;
      this.rows.clear();
      const head = element('tr', '');
      head.append(element('th', '', 'job'), ...names.map(name => this.headOf(name)));
      this.top.replaceChildren(head);
      this.body.replaceChildren();
    }
    this.top.querySelectorAll<HTMLElement>('th[data-name]').forEach(cell => {
      const chosen = cell.dataset['name'] === this.column;
      cell.setAttribute('aria-sort', chosen ? (this.down ? 'descending' : 'ascending') : 'none');
    });
    const found = lines(sweep.jobs, Date.now() / 1000);
    const shown = this.column === null ? found : sorted(found, names.indexOf(this.column), this.down);
    let before: ChildNode | null = this.body.firstChild;
    for (const line of shown) {
      const row = this.rows.get(line.job.name) ?? new PointRow(names, this.open);
      this.rows.set(line.job.name, row);
      row.show(line);
      if (row.node === before) {
        before = before.nextSibling;
      } else {
        this.body.insertBefore(row.node, before);
      }
    }
  }

  private headOf(name: string): HTMLElement {
    const cell = element('th', '');
    cell.scope = 'col';
    const button = element('button', 'aiinfn-Sweep-sort', name);
    button.title = `Sort by ${name}`;
    cell.dataset['name'] = name;
    button.addEventListener('click', () => {
      this.down = this.column === name && !this.down;
      this.column = name;
      if (this.known) {
        this.fill(this.known);
      }
    });
    cell.append(button);
    return cell;
  }

  private async end(): Promise<void> {
    const body = `${this.known ? tally(this.known.jobs) : ''}. What the points have not given back yet is lost.`;
    const buttons = [Dialog.cancelButton({ label: 'Let it go on' }), Dialog.warnButton({ label: 'Cancel all of it' })];
    const answer = await showDialog({ title: `Cancel ${this.title.label}?`, body, buttons });
    if (answer.button.accept) {
      await this.act('Cancel', this.acts.cancelSweep(this.sweep));
    }
  }

  private async act(what: string, done: Promise<Sweep>): Promise<void> {
    try {
      const over = this.known?.jobs.every(job => job.finished_at !== null) ?? true;
      this.draw(await done);
      if (over) {
        void this.follow(); // it had come to its end, and nobody looked any more
      }
    } catch (error) {
      void showErrorMessage(`${what}: it was not done`, error as Error);
    }
  }

  private known: Sweep | null = null;
  private column: string | null = null;
  private down = false;
  private stopped = false;
  private timer: number | undefined;
  private readonly head = element('h2', 'aiinfn-JobView-head');
  private readonly said = element('p', 'aiinfn-Job-notes');
  private names: string[] = [];
  private readonly rows = new Map<string, PointRow>();
  private readonly top = document.createElement('thead');
  private readonly body = document.createElement('tbody');
  private readonly cancel = pressed('Cancel all', () => void this.end());
  private readonly retry = pressed('Run again what failed', () => void this.act('Retry', this.acts.retrySweep(this.sweep)));
}

/** The line of a point. */
class PointRow {
  readonly node = element('tr', '');

  constructor(
    private readonly names: readonly string[],
    open: (job: Job) => void
  ) {
    this.name.addEventListener('click', () => this.job && open(this.job));
    const first = element('th', '');
    first.scope = 'row';
    first.append(this.name);
    this.cells = names.map(() => document.createElement('td'));
    this.node.append(first, ...this.cells);
  }

  show(line: Line): void {
    this.job = line.job;
    this.node.dataset['state'] = line.job.state;
    this.name.textContent = line.job.name;
    this.name.title = `Open ${line.job.name} (${line.job.id})`;
    line.cells.forEach((cell, place) => {
      const mark = element('span', 'aiinfn-Job-mark', this.names[place] === 'state' ? shape(line.job) : '');
      mark.setAttribute('aria-hidden', 'true');
      const bar = element('span', 'aiinfn-Sweep-bar');
      bar.style.width = `${(5 * (cell.share ?? 0)).toFixed(2)}em`;
      const text = element('span', 'aiinfn-Sweep-text', cell.text);
      this.cells[place]!.replaceChildren(...(mark.textContent ? [mark] : []), text, ...(cell.share === null ? [] : [bar]));
    });
  }

  private job: Job | null = null;
  private readonly name = element('button', 'aiinfn-Job-name');
  private readonly cells: HTMLElement[];
}
