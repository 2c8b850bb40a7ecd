// SPDX-License-Identifier: MIT
// Real clients in the sandbox, one test after the other; arguments: parts of names of tests to run.
import { results } from './harness.mjs';

for (const part of ['clients', 'members', 'tsmls', 'crowd', 'program']) await import(`./${part}.mjs`);
process.exit(results.failed ? 1 : 0);
