import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Displays } from './displays.js';

const frame = (id?: string) => ({ seq: 1, output_type: 'display_data', ...(id ? { transient: { display_id: id } } : {}) });

test('an update goes to every place of its display, and that of an unknown one nowhere', () => {
  const displays = new Displays();
  displays.added(frame('bar'), 0);
  displays.added(frame(), 1);
  displays.added(frame('bar'), 2);
  assert.deepEqual(displays.of(frame('bar')), [0, 2]);
  assert.deepEqual(displays.of(frame('foo')), []);
  assert.deepEqual(displays.of(frame()), []);
  displays.clear();
  assert.deepEqual(displays.of(frame('bar')), []);
});
