/**
 * One job in the main area: its outputs as they come, and its values. It uses no kernel.
 */
import type { IOutput } from '@jupyterlab/nbformat';
import { OutputAreaModel, SimplifiedOutputArea } from '@jupyterlab/outputarea';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { PanelLayout, Widget } from '@lumino/widgets';

import { Displays } from './displays.js';
import { bytes, notes, over, reads, shape, type Frame, type Job } from './jobs.js';
import { jobButtons } from './joblist.js';
import { element, pressed } from './nodes.js';
import { Refused, type JobActs } from './request.js';

/** Seconds that one question for more output waits, and the pause after one that failed. */
const WAIT_S = 20;
const PAUSE_MS = 3000;

export class JobView extends Widget {
  constructor(
    private job: Job,
    private readonly acts: JobActs,
    rendermime: IRenderMimeRegistry,
    private readonly took: (job: Job) => void
  ) {
    super();
    this.id = `aiinfn-job-${job.id}`;
    this.addClass('aiinfn-JobView');
    this.title.label = job.name;
    this.title.closable = true;
    this.node.tabIndex = 0;
    this.said.setAttribute('role', 'status');
    this.buttons = jobButtons(acts, () => this.job, view => this.put(view));
    // What a job shows was written elsewhere: no script of it runs here.
    this.model = new OutputAreaModel({ trusted: false });
    const area = new SimplifiedOutputArea({
      model: this.model,
      rendermime,
      contentFactory: SimplifiedOutputArea.defaultContentFactory
    });
    const layout = (this.layout = new PanelLayout());
    const top = new Widget();
    top.node.append(this.head, this.said, this.line, this.buttons.node, this.values);
    layout.addWidget(top);
    layout.addWidget(area);
    this.draw(job); // it is no news: whoever opens it knows it
    void this.follow();
  }

  /** The job that it shows. */
  get of(): Job {
    return this.job;
  }

  /** Show the job as it is now. */
  draw(job: Job): void {
    const now = Date.now() / 1000;
    this.job = job;
    this.title.caption = `${job.name}: ${job.state}`;
    this.head.textContent = `${shape(job)} ${job.name} · ${[reads(job, now), job.flavour].filter(part => part).join(' · ')}`;
    const said = `${job.name} is ${job.state}.`;
    if (said !== this.said.textContent) {
      this.said.textContent = said; // the head counts the seconds, and nobody wants to hear each
    }
    this.line.textContent = [...notes(job, now), this.trouble].filter(line => line).join(' ');
    this.buttons.show(job);
    this.showValues(job);
  }

  /** Count the time anew. */
  tick(): void {
    this.draw(this.job);
  }

  override dispose(): void {
    this.stop.abort();
    super.dispose();
  }

  private showValues(job: Job): void {
    const known = JSON.stringify(job.outputs);
    if (known === this.shown) {
      return;
    }
    this.shown = known;
    const rows = Object.entries(job.outputs).map(([name, value]) => {
      const row = element('li', '', `${name}: `);
      if (value.codec) {
        row.append(`${value.summary} (${bytes(value.size)}, ${value.codec}) `);
        const save = () => void this.acts.download(job, name).catch((error: Error) => this.complain(error));
        const button = pressed('Download', save);
        button.setAttribute('aria-label', `Download ${name}`);
        row.append(button);
      } else {
        row.append(`did not come back: ${value.summary}`);
      }
      return row;
    });
    this.values.replaceChildren(...rows);
  }

  /** Ask for more until the job is over and all has come. */
  private async follow(): Promise<void> {
    let after = 0;
    while (!this.stop.signal.aborted) {
      try {
        const page = await this.acts.frames(this.job.id, after, WAIT_S, this.stop.signal);
        this.trouble = '';
        for (const frame of page.frames) {
          after = Math.max(after, frame.seq);
          this.add(frame);
        }
        this.put(page.job);
        if (over(page.job) && !page.frames.length) {
          return;
        }
      } catch (error) {
        if (!this.stop.signal.aborted) {
          this.complain(error as Error);
          if (error instanceof Refused && error.status === 404) {
            return; // it is gone for good
          }
          await new Promise(resolve => window.setTimeout(resolve, PAUSE_MS));
        }
      }
    }
  }

  private put(job: Job): void {
    this.took(job);
    if (job.id === this.job.id) {
      this.draw(job);
    }
  }

  private complain(error: Error): void {
    this.trouble = error.message;
    this.draw(this.job);
  }

  private add(frame: Frame): void {
    if (frame.output_type === 'clear_output') {
      this.displays.clear();
      this.model.clear(frame.wait ?? false);
      return;
    }
    const update = frame.output_type === 'update_display_data';
    const kind = update ? 'display_data' : frame.output_type;
    const output = { ...frame, output_type: kind } as unknown as IOutput;
    delete output['seq'];
    delete output['transient'];
    for (const place of this.displays.of(frame)) {
      this.model.set(place, output);
    }
    if (!update) {
      this.displays.added(frame, this.model.add(output) - 1);
    }
  }

  private shown = '';
  private trouble = '';
  private readonly stop = new AbortController();
  private readonly displays = new Displays();
  private readonly model: OutputAreaModel;
  private readonly head = element('h2', 'aiinfn-JobView-head');
  private readonly said = element('span', 'aiinfn-JobView-said');
  private readonly line = element('p', 'aiinfn-Job-notes');
  private readonly values = element('ul', 'aiinfn-JobView-values');
  private readonly buttons: { node: HTMLElement; show: (job: Job) => void };
}
