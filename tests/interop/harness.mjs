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
export async function agree(s, bots, others = []) {
	return until('privacy codes to agree', async () => {
		const state = await s.dave({ do: 'state' });
		const told = await Promise.all(bots.map((b) => b.ask({ cmd: 'dave' })));
		const codes = [...told.map((t) => t.code), ...(await Promise.all(others.map((m) => m.code())))];
		s.codes = codes;
		return (
			state.settled &&
			told.every((t) => t.epoch === state.epoch) &&
			codes.every((c) => c && c === codes[0]) &&
			codes[0]
		);
	}).catch((e) => {
		throw new Error(`${e.message}: ${JSON.stringify(s.codes)}`);
	});
}

export const isBot = (peer) => Boolean(peer.ask);

/** Joins and speaks, or leaves, whatever it is. */
export async function enter(peer) {
	if (isBot(peer)) {
		await peer.ask({ cmd: 'join' });
		await peer.ask({ cmd: 'speak' });
	} else {
		await peer.join();
		await peer.speak();
	}
	peer.in = true;
}

export async function exit(peer) {
	if (isBot(peer)) await peer.ask({ cmd: 'leave' });
	else await peer.leave();
	peer.in = false;
}

/**
 * Counts encrypted frames that somebody could not read while he and the sender were in the room all the
 * time. Real clients tell it by sender; ours (members of the sandbox, loopline-discord) only in all, so
 * that of theirs counts what anybody sent.
 */
export class Losses {
	constructor() {
		this.ours = 0; // lost by ours, or by others from ours
		this.theirs = 0; // among real clients
		this.details = [];
		this.heard = 0;
	}

	async begin(staying) {
		this.staying = staying;
		this.before = await Promise.all(staying.map((p) => this.counts(p)));
	}

	async counts(p) {
		return isBot(p) ? (await p.ask({ cmd: 'counts' })).counts : p.misunderstood();
	}

	/** also: everybody who stayed must have been heard by every real client that stayed. */
	async end(what, also) {
		const after = await Promise.all(this.staying.map((p) => this.counts(p)));
		this.staying.forEach((p, i) => {
			if (!isBot(p)) {
				this.add(true, after[i] - this.before[i], `${what}: ${p.user} did not understand`);
				return;
			}
			for (const from of this.staying) {
				if (from === p) continue;
				const now = after[i][from.user] ?? {}, then = this.before[i][from.user] ?? {};
				const since = (key) => (now[key] ?? 0) - (then[key] ?? 0);
				this.add(!isBot(from), since('lost'), `${what}: ${p.name} did not understand ${from.user}`);
				this.heard += since('opened');
				if (also && since('opened') === 0) throw new Error(`${what}: ${p.name} heard nothing of ${from.user}`);
			}
		});
	}

	add(ours, n, why) {
		if (!Number.isInteger(n)) throw new Error(`${why} ${n} frames: not counted`);
		if (n === 0) return;
		if (ours) this.ours += n;
		else this.theirs += n;
		this.details.push(`${why} ${n} frames`);
	}

	check() {
		for (const line of this.details) console.error(line);
		if (this.ours) throw new Error(`${this.ours} frames lost: ${this.details.slice(0, 3).join('; ')}`);
	}
}
