// SPDX-License-Identifier: MIT
// What the tests share. Each prints "ok NAME" or "not ok NAME: why".
import { Sandbox, until } from './sandbox.mjs';

const chosen = process.argv.slice(2);
export const results = { failed: 0 };

export async function test(name, room, run) {
	if (chosen.length && !chosen.some((c) => name.includes(c))) return;
	let s;
	try {
		s = await Sandbox.start(room);
		await run(s);
		const odd = s.complaints();
		if (odd.length && !s.complaintsExpected) throw new Error(`complaints: ${odd.slice(0, 3).join('; ')}`);
		console.log(`ok ${name}`);
	} catch (e) {
		results.failed++;
		console.log(`not ok ${name}: ${String(e.message ?? e).replaceAll('\n', ' ')}`);
	} finally {
		await s?.stop();
	}
}

export const plain = { dave: false, require_dave: false };
export const encrypted = { dave: true, require_dave: true };

/** Everybody in the list says their tone; every bot in it must hear every other, by its tone. */
export async function allHear(bots, others = [], ms = 45000) {
	const everybody = [...bots, ...others];
	const tones = Object.fromEntries(everybody.map((p) => [p.user, p.hz]));
	for (const bot of bots) {
		await bot.ask({ cmd: 'heard' });
		await until(
			`${bot.name} to hear the tones of all`,
			async () => {
				const answer = await bot.ask({ cmd: 'heard', tones }), { heard } = answer;
				bot.last = answer;
				return everybody.every((p) => p === bot || (heard[p.user]?.packets > 0 && heard[p.user].share > 0.9));
			},
			ms,
		).catch((e) => {
			throw new Error(`${e.message}: ${JSON.stringify(bot.last)}`);
		});
	}
}

/** All codes equal and none empty, the epoch the service's. */
export async function agree(s, bots, members = []) {
	return until('privacy codes to agree', async () => {
		const state = await s.dave({ do: 'state' });
		const codes = await Promise.all(bots.map(async (b) => (await b.ask({ cmd: 'dave' })).code));
		for (const m of members) codes.push(state.codes[m.user]);
		s.codes = codes;
		return state.settled && codes.every((c) => c && c === codes[0]) && codes[0];
	}).catch((e) => {
		throw new Error(`${e.message}: ${JSON.stringify(s.codes)}`);
	});
}
