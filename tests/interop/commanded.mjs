// SPDX-License-Identifier: MIT
// A client that is told what to do by JSON lines on stdin, and answers and reports on stdout.
import { createInterface } from 'node:readline';

export const say = (m) => process.stdout.write(JSON.stringify(m) + '\n');

/** Answers {id, cmd, ...} with what commands[cmd] resolves to, until stdin ends. */
export function serve(commands) {
	createInterface({ input: process.stdin })
		.on('line', async (line) => {
			const m = JSON.parse(line);
			try {
				say({ id: m.id, ok: true, ...(await commands[m.cmd](m)) });
			} catch (e) {
				say({ id: m.id, ok: false, error: String(e.stack ?? e) });
			}
		})
		.on('close', () => process.exit(0));
}
