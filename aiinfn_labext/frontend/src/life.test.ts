import assert from 'node:assert/strict';
import { test } from 'node:test';

import { explains, reads, span, type Life } from './life.js';
import { clock } from './times.js';

function life(more: Partial<Life> = {}): Life {
  const known = { flavour: 'NVIDIA T4', started: 0, ends: 7200, extend_s: 14400 };
  return { ...known, idle_after_s: null, idle_since: null, idle_unknown: '', ...more };
}

test('the status bar says when it ends, and nothing where it never does', () => {
  assert.equal(reads(life(), 5400), `ends ${clock(7200, 5400)} (in 30 min)`);
  assert.equal(reads(life({ ends: null }), 0), '');
});

test('a click says whether it can be extended, and whether it is idle', () => {
  const text = (more: Partial<Life>) => explains(life(more), 5400).join(' ');
  assert.match(text({}), /can be extended by 4 h now/);
  assert.match(text({ extend_s: 0 }), /longest time/);
  assert.doesNotMatch(text({}), /without any use/);
  assert.match(text({ idle_after_s: 3600 }), /after 1 h without any use it is stopped\. It is used now/);
  assert.match(text({ idle_after_s: 3600, idle_since: 5000 }), /Nothing has happened in it since/);
  assert.match(text({ idle_after_s: 3600, idle_unknown: 'x is not measured' }), /not happen now, because x is not/);
});

test('no minute more than there is', () => {
  assert.deepEqual([5, 119, 3600, 5459, 14400].map(span), ['1 min', '1 min', '1 h', '1 h 30 min', '4 h']);
});
