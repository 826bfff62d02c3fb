/**
 * The list of jobs in the left area: what the one websocket says of them, and what somebody may do about each.
 */
import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { AT_ONCE, entries, Jobs, notes, over, reads, shape, swept, type Entry, type Job } from './jobs.js';
import { element, pressed } from './nodes.js';
import type { JobActs } from './request.js';
import { tally } from './sweeps.js';
import { clock } from './times.js';

const EXAMPLE = '%%offload fit --gpu t4 --time 2h --out model\nmodel = train(data)';

export class JobList extends Widget {
  constructor(
    private readonly jobs: Jobs,
    private readonly acts: JobActs,
    private readonly open: (job: Job) => void,
    private readonly openSweep: (id: string, name: string) => void
  ) {
    super();
    this.id = 'aiinfn-jobs';
    this.addClass('aiinfn-Jobs');
    this.title.caption = 'Jobs';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'Jobs');
    this.filter.type = 'search';
    this.filter.className = 'jp-mod-styled aiinfn-Jobs-filter';
    this.filter.placeholder = 'Filter by name or state';
    this.filter.setAttribute('aria-label', 'Filter by name or state');
    this.filter.addEventListener('input', () => {
      this.most = AT_ONCE;
      this.refresh();
    });
    this.status.setAttribute('role', 'status');
    this.node.append(element('h2', 'aiinfn-Jobs-head', 'Jobs'), this.filter, this.status, this.rows, this.foot);
    this.refresh();
  }

  /** Draw what is known; rows stay the same nodes, so that no button goes away under a finger. */
  refresh(): void {
    const now = Date.now() / 1000;
    const active = this.jobs.active;
    this.title.label = active ? String(active) : '';
    this.title.caption = active ? `Jobs: ${active} not over` : 'Jobs';
    if (!this.isVisible) {
      return;
    }
    const chosen = this.jobs.chosen(this.filter.value);
    const grouped = entries(chosen);
    const shown = grouped.slice(0, this.most);
    this.say(now, chosen.length);
    const wanted = new Set(shown.map(entry => entry.id));
    for (const [id, row] of this.known) {
      if (!wanted.has(id)) {
        row.node.remove();
        this.known.delete(id);
      }
    }
    let before: ChildNode | null = this.rows.firstChild;
    for (const entry of shown) {
      const row = this.known.get(entry.id) ?? this.made(entry);
      this.known.set(entry.id, row);
      row.show(entry.jobs, now);
      if (row.node === before) {
        before = before.nextSibling;
      } else {
        this.rows.insertBefore(row.node, before);
      }
    }
    this.showFoot(grouped.length - shown.length);
  }

  protected override onAfterShow(): void {
    this.refresh();
  }

  private say(now: number, chosen: number): void {
    const warning = this.jobs.warning(now);
    const lines: HTMLElement[] = warning ? [element('p', 'aiinfn-Jobs-warning', warning)] : [];
    if (!this.jobs.known && !warning) {
      lines.push(element('p', '', 'Looking for your jobs ...'));
    } else if (this.jobs.known && !this.jobs.size) {
      lines.push(element('p', '', 'You have no jobs. This sends a cell of a notebook elsewhere:'), element('pre', '', EXAMPLE));
    } else if (this.jobs.known && !chosen) {
      lines.push(element('p', '', `None of your ${this.jobs.until === null ? '' : 'newest '}${this.jobs.size} jobs is like that.`));
    }
    const said = lines.map(line => line.textContent).join('\n');
    if (said !== this.said) {
      this.said = said; // a screen reader reads what changes, and only then
      this.status.replaceChildren(...lines);
    }
  }

  /** What shows more of them, or looks for older ones; made anew only when it changes, because it has the focus. */
  private showFoot(more: number): void {
    const label = more > 0 ? `Show ${Math.min(more, AT_ONCE)} more` : this.jobs.until === null ? '' : 'Look for older jobs';
    if (label !== this.foot.textContent) {
      this.foot.replaceChildren(...(label ? [pressed(label, more > 0 ? () => this.further() : () => void this.lookBack())] : []));
    }
  }

  private further(): void {
    this.most += AT_ONCE;
    this.refresh();
  }

  private async lookBack(): Promise<void> {
    try {
      let found = 0;
      while (!found && this.jobs.until !== null) {
        found = this.jobs.older(await this.acts.older(this.jobs.until, AT_ONCE), AT_ONCE);
      }
      this.further();
    } catch (error) {
      void showErrorMessage('Older jobs were not found', error as Error);
    }
  }

  private made(entry: Entry): Row | SweepRow {
    const job = entry.jobs[0]!;
    return job.sweep ? new SweepRow(this.openSweep) : new Row(this.acts, this.open, view => this.took(view));
  }

  private took(job: Job): void {
    this.jobs.put([job]);
    this.refresh();
  }

  private most = AT_ONCE;
  private said = '';
  private readonly filter = document.createElement('input');
  private readonly status = element('div', 'aiinfn-Jobs-status');
  private readonly rows = element('ul', 'aiinfn-Jobs-rows');
  private readonly foot = element('div', 'aiinfn-Jobs-foot');
  private readonly known = new Map<string, Row | SweepRow>();
}

/** One job of the list. */
class Row {
  readonly node = element('li', 'aiinfn-Job');

  constructor(
    private readonly acts: JobActs,
    open: (job: Job) => void,
    took: (job: Job) => void
  ) {
    this.name.className = 'aiinfn-Job-name';
    this.name.addEventListener('click', () => this.job && open(this.job));
    this.buttons = jobButtons(this.acts, () => this.job, took);
    const head = element('div', 'aiinfn-Job-head');
    head.append(this.mark, this.name);
    this.mark.setAttribute('aria-hidden', 'true');
    this.node.append(head, this.line, this.notes, this.buttons.node);
  }

  show([job]: Job[], now: number): void {
    if (!job) {
      return;
    }
    this.job = job;
    this.node.dataset['state'] = job.state;
    this.mark.textContent = shape(job);
    this.name.textContent = job.name;
    this.name.title = `Open ${job.name} (${job.id})`;
    this.line.textContent = [reads(job, now), job.flavour].filter(part => part).join(' · ');
    this.notes.textContent = notes(job, now).join(' ');
    this.buttons.show(job);
  }

  private job: Job | null = null;
  private readonly mark = element('span', 'aiinfn-Job-mark');
  private readonly name = document.createElement('button');
  private readonly line = element('div', 'aiinfn-Job-line');
  private readonly notes = element('div', 'aiinfn-Job-notes');
  private readonly buttons: { node: HTMLElement; show: (job: Job) => void };
}

/** All that is known of a sweep; those of its points that go on always are. */
class SweepRow {
  readonly node = element('li', 'aiinfn-Job');

  constructor(open: (id: string, name: string) => void) {
    this.name.className = 'aiinfn-Job-name';
    this.name.addEventListener('click', () => this.job && open(this.job.sweep, swept(this.job)));
    const head = element('div', 'aiinfn-Job-head');
    this.mark.setAttribute('aria-hidden', 'true');
    head.append(this.mark, this.name);
    this.node.append(head, this.line);
  }

  show(jobs: Job[], now: number): void {
    const going = jobs.filter(job => !over(job));
    const job = (this.job = going.find(one => one.state === 'running') ?? going[0] ?? jobs[0]!);
    this.node.dataset['state'] = job.state;
    this.mark.textContent = shape(job);
    this.name.textContent = swept(job);
    this.name.title = `Open the sweep ${swept(job)} (${job.sweep})`;
    const bad = jobs.filter(one => over(one) && one.state !== 'succeeded');
    const last = Math.max(...jobs.map(one => one.finished_at ?? one.submitted_at));
    const parts = ['sweep', going.length ? tally(going) : `over · ${clock(last, now)}`, bad.length ? tally(bad) : ''];
    this.line.textContent = parts.filter(part => part).join(' · ');
  }

  private job: Job | null = null;
  private readonly mark = element('span', 'aiinfn-Job-mark');
  private readonly name = document.createElement('button');
  private readonly line = element('div', 'aiinfn-Job-line');
}

/** What can be done about a job; those that make no sense in its state are not there. */
export function jobButtons(
  acts: JobActs,
  job: () => Job | null,
  took: (job: Job) => void
): { node: HTMLElement; show: (job: Job) => void } {
  const attempt = (what: string, act: (one: Job) => Promise<Job | void>) => () => {
    const one = job();
    if (one) {
      act(one).then(
        view => view && took(view),
        (error: Error) => void showErrorMessage(`${what}: it was not done`, error)
      );
    }
  };
  const why = pressed('Why', attempt('Why', async one => void (await explain(acts, one))));
  const cancel = pressed('Cancel', attempt('Cancel', one => sure(acts, one)));
  const retry = pressed('Retry', attempt('Retry', one => again(acts, one)));
  const extend = pressed('More time', attempt('More time', one => longer(acts, one)));
  const node = element('div', 'aiinfn-Job-buttons');
  node.append(why, cancel, extend, retry);
  const show = (one: Job) => {
    cancel.hidden = extend.hidden = over(one);
    retry.hidden = !over(one);
    for (const button of [why, cancel, retry, extend]) {
      button.setAttribute('aria-label', `${button.textContent} ${one.name}`);
    }
  };
  return { node, show };
}

async function explain(acts: JobActs, job: Job): Promise<void> {
  const why = await acts.why(job.id);
  const body = new Widget();
  body.node.append(element('p', '', why.sentence), element('p', '', why.next_step));
  if (why.evidence.length) {
    body.node.append(element('pre', 'aiinfn-Job-evidence', why.evidence.join('\n')));
  }
  await showDialog({ title: `${job.name}: ${why.state}`, body, buttons: [Dialog.okButton({ label: 'Close' })] });
}

async function sure(acts: JobActs, job: Job): Promise<Job | void> {
  const body = `${job.name} is ${job.state}. What it has not given back yet is lost.`;
  const buttons = [Dialog.cancelButton({ label: 'Let it go on' }), Dialog.warnButton({ label: 'Cancel the job' })];
  const answer = await showDialog({ title: `Cancel ${job.name}?`, body, buttons });
  return answer.button.accept ? acts.cancel(job.id) : undefined;
}

async function again(acts: JobActs, job: Job): Promise<Job | void> {
  const asked = { mem: 'Memory', time: 'Time', gpu: 'Accelerator' };
  const changes = await ask(`Run ${job.name} again`, 'What is left empty stays as it was.', asked, 'Run it again');
  return changes ? acts.retry(job.id, changes) : undefined;
}

async function longer(acts: JobActs, job: Job): Promise<Job | void> {
  const changes = await ask(`More time for ${job.name}`, 'Such as 1h or 30m.', { time: 'Time' }, 'Give it');
  return changes?.['time'] ? acts.extend(job.id, changes['time']) : undefined;
}

/** Ask for a few words; those that were given. */
async function ask(
  title: string,
  text: string,
  fields: Record<string, string>,
  label: string
): Promise<Record<string, string> | null> {
  const body = new Widget();
  body.node.append(element('p', '', text));
  const inputs = Object.entries(fields).map(([name, says]) => {
    const input = document.createElement('input');
    input.className = 'jp-mod-styled';
    const line = element('label', 'aiinfn-Job-field', `${says} `);
    line.append(input);
    body.node.append(line);
    return [name, input] as const;
  });
  const answer = await showDialog({ title, body, buttons: [Dialog.cancelButton(), Dialog.okButton({ label })] });
  const given = inputs.map(([name, input]) => [name, input.value.trim()]).filter(([, value]) => value);
  return answer.button.accept ? (Object.fromEntries(given) as Record<string, string>) : null;
}
