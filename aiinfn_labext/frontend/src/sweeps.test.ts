import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Job } from './jobs.js';
import { lines, sorted, tally, titles } from './sweeps.js';

function job(place: number, more: Partial<Job> = {}): Job {
  return {
    id: `0${place}`,
    name: `fit-${place}`,
    state: 'succeeded',
    reason: '',
    target: 'local',
    activity: 'a',
    flavour: 'cpu',
    resources: { cpu_millis: 1000, memory_bytes: 1, gpu: '', time_s: 60 },
    submitted_at: 0,
    started_at: 10,
    finished_at: 75,
    attempt: 1,
    verdict: '',
    outputs: {},
    memory: null,
    checkpointed_at: null,
    metrics: {},
    sweep: 's',
    point: { lr: place / 10 },
    waiting: null,
    ...more
  };
}

const JOBS = [
  job(0, { metrics: { loss: -2 } }),
  job(1, { state: 'running', finished_at: null, metrics: { loss: 1, gain: null } }),
  job(2, { state: 'staging', started_at: null, finished_at: null, reason: 'It waits.' }),
  job(3, { state: 'failed', verdict: 'Out of memory.' })
];

test('a table has a line for each point, whether it has ended or not', () => {
  assert.deepEqual(titles(JOBS), ['lr', 'state', 'loss', 'gain', 'took', 'note']);
  const texts = lines(JOBS, 100).map(line => line.cells.map(cell => cell.text));
  assert.deepEqual(texts, [
    ['0', 'succeeded', '-2', '', '01:05', ''],
    ['0.1', 'running', '1', 'nan', '01:30', ''],
    ['0.2', 'staging', '', '', '', 'It waits.'],
    ['0.3', 'failed', '', '', '01:05', 'Out of memory.']
  ]);
  assert.deepEqual(lines(JOBS, 100).map(line => line.cells[2]!.share), [1, 0.5, null, null]);
  assert.equal(tally(JOBS), '1 running, 1 staging, 1 succeeded, 1 failed');
  assert.deepEqual(titles([]), ['state', 'took', 'note']);
});

test('it is sorted by a column, and what has nothing there comes last', () => {
  const names = (down: boolean) => sorted(lines(JOBS, 100), 2, down).map(line => line.job.name);
  assert.deepEqual(names(false), ['fit-0', 'fit-1', 'fit-2', 'fit-3']);
  assert.deepEqual(names(true), ['fit-1', 'fit-0', 'fit-2', 'fit-3']);
  assert.deepEqual(sorted(lines(JOBS, 100), 1, false)[0]!.job.state, 'failed');
});
