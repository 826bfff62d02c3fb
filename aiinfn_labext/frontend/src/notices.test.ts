import assert from 'node:assert/strict';
import { test } from 'node:test';

import { changes, ending, reads, type Notice } from './notices.js';

function notice(more: Partial<Notice> = {}): Notice {
  return { id: 'a', level: 'error', title: 'Ends at {due}.', text: '', since: 0, due: 840, server: '', act: '', ...more };
}

test('a time is on the clock of the person, and from now', () => {
  const clock = new Date(840_000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  assert.equal(reads(notice(), 0), `Ends at ${clock} (in 14 min).`);
  assert.equal(reads(notice(), 815), `Ends at ${clock} (in less than a minute).`);
  assert.equal(reads(notice(), 900), `Ends at ${clock} (now).`);
  assert.match(reads(notice({ due: 86400 }), 0), /2.* \(in 24 h\)\.$/, 'with the day');
  assert.equal(reads(notice({ title: 'No answer.', due: null }), 0), 'No answer.');
});

test('what is new is shown, what reads otherwise is updated, what is over goes', () => {
  const a = notice();
  const b = notice({ id: 'b', due: null, title: 'b' });
  const shown = new Map([
    ['a', reads(a, 0)],
    ['gone', 'x']
  ]);
  assert.deepEqual(changes(shown, [a, b], 0), { show: [b], update: [], dismiss: ['gone'] });
  assert.deepEqual(changes(shown, [a], 120), { show: [], update: [a], dismiss: ['gone'] });
  assert.deepEqual(changes(new Map(), [], 0), { show: [], update: [], dismiss: [] });
});

test('what is open is saved in the last minute of a session', () => {
  const other = notice({ id: 'b', server: null });
  assert.equal(ending([notice(), other], 700), false);
  assert.equal(ending([notice(), other], 790), true);
  assert.equal(ending([other], 790), false, 'it is about the person, not about this session');
});
