/**
 * Brings the jobs into the shell: the list on the left, a tab for each that is opened, and a command for the palette.
 */
import type { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker, type ICommandPalette } from '@jupyterlab/apputils';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { listIcon } from '@jupyterlab/ui-components';

import { JobList } from './joblist.js';
import { JobView } from './jobview.js';
import { Jobs, type Job } from './jobs.js';
import { JobActs } from './request.js';
import { SweepView } from './sweepview.js';

/** How often the times in the list are counted anew. */
const EVERY_MS = 1000;

const SHOW = 'aiinfn:jobs';
const OPEN = 'aiinfn:open-job';
const OPEN_SWEEP = 'aiinfn:open-sweep';

/** What the websocket says goes in here. */
export interface JobsPanel {
  heard(jobs: Job[], until?: number | null): void;
  fail(message: string): void;
}

export function addJobs(
  app: JupyterFrontEnd,
  rendermime: IRenderMimeRegistry,
  palette: ICommandPalette | null,
  restorer: ILayoutRestorer | null
): JobsPanel {
  const jobs = new Jobs();
  const acts = new JobActs(app.serviceManager.serverSettings);
  const views = new Map<string, JobView>();
  const tracker = new WidgetTracker<MainAreaWidget<JobView>>({ namespace: 'aiinfn-jobs' });
  const sweeps = new WidgetTracker<MainAreaWidget<SweepView>>({ namespace: 'aiinfn-sweeps' });
  const swept = new Set<string>();
  const open = (job: Job) => {
    const id = `aiinfn-job-${job.id}-tab`;
    if (!views.has(job.id)) {
      const view = new JobView(job, acts, rendermime, one => {
        jobs.put([one]);
        list.refresh();
      });
      const tab = new MainAreaWidget({ content: view });
      tab.id = id;
      tab.title.icon = listIcon;
      views.set(job.id, view);
      view.disposed.connect(() => views.delete(job.id));
      app.shell.add(tab, 'main');
      void tracker.add(tab);
    }
    app.shell.activateById(id);
  };
  const openSweep = (sweep: string, name: string) => {
    const id = `aiinfn-sweep-${sweep}-tab`;
    if (!swept.has(sweep)) {
      const content = new SweepView(sweep, name, acts, open);
      const tab = new MainAreaWidget({ content });
      tab.id = id;
      tab.title.icon = listIcon;
      swept.add(sweep);
      content.disposed.connect(() => swept.delete(sweep));
      app.shell.add(tab, 'main');
      void sweeps.add(tab);
    }
    app.shell.activateById(id);
  };
  const list: JobList = new JobList(jobs, acts, open, openSweep);
  list.title.icon = listIcon;
  app.shell.add(list, 'left', { rank: 300 });
  restorer?.add(list, 'aiinfn-jobs');
  app.commands.addCommand(SHOW, { label: 'Show my jobs', execute: () => app.shell.activateById(list.id) });
  app.commands.addCommand(OPEN, {
    label: 'Open a job',
    execute: async args => open(jobs.get(String(args['id'])) ?? (await acts.job(String(args['id']))))
  });
  void restorer?.restore(tracker, { command: OPEN, args: tab => ({ id: tab.content.of.id }), name: tab => tab.content.of.id });
  app.commands.addCommand(OPEN_SWEEP, {
    label: 'Open a sweep',
    execute: args => openSweep(String(args['id']), String(args['name']))
  });
  void restorer?.restore(sweeps, {
    command: OPEN_SWEEP,
    args: tab => ({ id: tab.content.sweep, name: tab.content.title.label }),
    name: tab => tab.content.sweep
  });
  palette?.addItem({ command: SHOW, category: 'aiinfn' });
  window.setInterval(() => {
    list.refresh();
    for (const view of views.values()) {
      view.tick();
    }
  }, EVERY_MS);
  return {
    heard: (found, until) => {
      jobs.heard(found, until);
      list.refresh();
      for (const job of found) {
        views.get(job.id)?.draw(job);
      }
    },
    fail: message => {
      jobs.fail(message, Date.now() / 1000);
      list.refresh();
    }
  };
}
