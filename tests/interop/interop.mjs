// SPDX-License-Identifier: MIT
// Real clients in the sandbox, one test after the other; arguments: parts of names of tests to run.
import './clients.mjs';
import './members.mjs';
import './program.mjs';
import { failed } from './harness.mjs';

process.exit(failed ? 1 : 0);
