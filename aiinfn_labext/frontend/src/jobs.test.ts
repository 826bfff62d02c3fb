import assert from 'node:assert/strict';
import { entries, swept } from './jobs.js';
import { test } from 'node:test';

import { bytes, counted, Jobs, notes, over, reads, shape, type Job } from './jobs.js';
import { clock } from './times.js';

const NOW = 10_000;

function job(more: Partial<Job> = {}): Job {
  return {
    id: '01k',
    name: 'fit',
    state: 'running',
    reason: 'on gpu-1',
    target: 'local',
    activity: 'cms',
    flavour: 't4',
    resources: { cpu_millis: 1000, memory_bytes: 2 ** 34, gpu: '', time_s: 7200 },
    submitted_at: NOW - 1000,
    started_at: NOW - 761,
    finished_at: null,
    attempt: 1,
    verdict: '',
    outputs: {},
    memory: null,
    checkpointed_at: null,
    metrics: {},
    sweep: '',
    point: {},
    waiting: null,
    ...more
  };
}

test('a line says the state, the place and the time', () => {
  assert.equal(reads(job(), NOW), 'running on gpu-1 · 12:41 of 2 h');
  assert.equal(reads(job({ attempt: 2 }), NOW), 'running on gpu-1, attempt 2 · 12:41 of 2 h');
  assert.equal(reads(job({ reason: 'It has started.', target: 'leonardo' }), NOW), 'running on leonardo · 12:41 of 2 h');
  assert.equal(reads(job({ state: 'queued', started_at: null }), NOW), 'queued · for 16:40');
  const waiting = { place: 3, number: 7, early: NOW + 60, late: NOW + 600, cases: 23 };
  const queued = job({ state: 'queued', started_at: null, waiting });
  assert.equal(reads(queued, NOW), 'queued · place 3 of 7 · for 16:40');
  assert.deepEqual(notes({ ...queued, reason: 'It waits for 1 CPU.' }, NOW), [
    'It waits for 1 CPU.',
    `Usually such jobs start between ${clock(NOW + 60, NOW)} and ${clock(NOW + 600, NOW)} (of 23).`
  ]);
  assert.deepEqual(notes({ ...queued, reason: '', waiting: { ...waiting, early: null, late: null, cases: 2 } }, NOW), [
    'Too few like it have waited to say when it starts (2).'
  ]);
  const ended = { state: 'failed', finished_at: NOW - 61 };
  assert.equal(reads(job(ended), NOW), `failed on local after 11:40 · ${clock(NOW - 61, NOW)}`);
  const early = { state: 'cancelled', started_at: null, finished_at: NOW };
  assert.equal(reads(job(early), NOW), `cancelled · ${clock(NOW, NOW)}`);
});

test('below it stands why, what is kept, and what it takes', () => {
  assert.deepEqual(notes(job(), NOW), []);
  assert.deepEqual(notes(job({ metrics: { loss: 0.25, gain: null } }), NOW), ['loss 0.25 · gain nan']);
  assert.deepEqual(notes(job({ reason: 'on gpu-1; no sign of life for 2 min' }), NOW), ['no sign of life for 2 min']);
  const evicted = job({ state: 'evicted', reason: 'It gave up its place.', checkpointed_at: NOW - 60 });
  assert.deepEqual(notes(evicted, NOW), ['It gave up its place.', `Its work of ${clock(NOW - 60, NOW)} is kept.`]);
  const dead = job({ state: 'failed', verdict: 'Out of memory.', reason: 'x', memory: 15.5 * 2 ** 30, checkpointed_at: 1 });
  assert.deepEqual(notes(dead, NOW), ['Out of memory.', 'It took up to 16 GiB of its 16 GiB of memory.']);
});

test('each state has a shape of its own, and an unknown one a question mark', () => {
  const shapes = ['staging', 'queued', 'starting', 'running', 'evicted', 'succeeded', 'failed', 'cancelled', 'lost'];
  assert.equal(new Set(shapes.map(state => shape(job({ state })))).size, shapes.length);
  assert.equal(shape(job({ state: 'new' })), '?');
  assert.deepEqual([over(job()), over(job({ state: 'lost' }))], [false, true]);
});

test('amounts read as people write them', () => {
  assert.deepEqual([0, 1023, 1024, 1536, 2 ** 30 * 15].map(bytes), ['0 B', '1023 B', '1 KiB', '1.5 KiB', '15 GiB']);
  assert.deepEqual([-5, 59, 61, 3599, 3600, 90061].map(counted), ['00:00', '00:59', '01:01', '59:59', '1:00:00', '25:01:01']);
});

test('jobs are kept by id, newest first, and chosen by words', () => {
  const jobs = new Jobs();
  assert.equal(jobs.known, false);
  jobs.heard([job(), job({ id: '02k', name: 'plot', state: 'queued', submitted_at: NOW })]);
  jobs.put([job({ state: 'succeeded' })]);
  assert.deepEqual(jobs.chosen('').map(one => one.name), ['plot', 'fit']);
  assert.deepEqual(jobs.chosen('FI succ').map(one => one.id), ['01k']);
  assert.deepEqual(jobs.chosen('fit queued'), []);
  assert.deepEqual([jobs.active, jobs.size], [1, 2]);
});

test('a server that does not answer is said, with the age of what is shown', () => {
  const jobs = new Jobs();
  jobs.fail('The service does not answer.', NOW);
  assert.equal(jobs.warning(NOW + 5), 'The service does not answer.');
  jobs.put([job()]); // somebody opens a job: that is no news of the others
  assert.equal(jobs.warning(NOW + 5), 'The service does not answer.');
  jobs.heard([job()]);
  assert.equal(jobs.warning(NOW + 5), '');
  jobs.fail('The service does not answer.', NOW + 10);
  jobs.fail('The service does not answer.', NOW + 50);
  assert.equal(jobs.warning(NOW + 20), 'The service does not answer.');
  assert.equal(jobs.warning(NOW + 50), `The service does not answer. What you see is of ${clock(NOW + 10, NOW + 50)}.`);
});

test('older jobs are looked for page by page, up to the first one', () => {
  const jobs = new Jobs();
  jobs.heard([job({ id: '3', submitted_at: NOW }), job({ id: '0', submitted_at: 10 })], NOW);
  assert.equal(jobs.until, NOW); // the old one runs still, and is no end
  assert.equal(jobs.older([job({ id: '3', submitted_at: NOW }), job({ id: '2', submitted_at: 500 })], 2), 1);
  assert.equal(jobs.until, 500);
  jobs.heard([job({ id: '3', state: 'failed' })]);
  assert.equal(jobs.until, 500);
  assert.equal(jobs.older([job({ id: '2', submitted_at: 500 })], 2), 0);
  assert.equal(jobs.until, null);
});

test('the jobs of a sweep are one entry, in the place of the newest', () => {
  const jobs = [job({ id: '4', sweep: 's', name: 'fit-1' }), job({ id: '3' }), job({ id: '2', sweep: 's', name: 'fit-0' })];
  assert.deepEqual(entries(jobs).map(entry => [entry.id, entry.jobs.map(one => one.id)]), [['s', ['4', '2']], ['3', ['3']]]);
  assert.equal(swept(jobs[0]!), 'fit');
});
