// SPDX-License-Identifier: MIT
// A room in which people come and go while all speak: loopline-discord, real clients, ts-mls, and members
// of ours. Nobody who stays may miss a frame of anybody who stays, and all codes are equal every time.
import { existsSync } from 'node:fs';
import { agree, allHear, encrypted, enter, exit, isBot, Losses, test } from './harness.mjs';
import { Loopline, program } from './loopline.mjs';
import { sleep } from './sandbox.mjs';

const CHANGES = 50;

await test('fifty_joins_and_leaves_while_all_speak', encrypted, async (s) => {
	const others = [await s.bot(1), await s.bot(2), await s.tsBot(3), await s.member(1), await s.member(2)];
	const we = existsSync(program) ? await Loopline.start(s) : await s.member(3);
	const losses = new Losses();
	let seed = 12345, codes = 0, joins = 0;
	const random = (n) => {
		seed = (seed * 1103515245 + 12345) % 2147483648;
		return Math.floor(seed / 65536) % n;
	};
	await enter(we);
	await enter(others[0]);
	await agree(s, [others[0]], [we]);
	await allHear([others[0]], [we]);
	for (let change = 0; change < CHANGES; change++) {
		const inside = others.filter((p) => p.in), outside = others.filter((p) => !p.in);
		const comes = inside.length < 1 || (outside.length && random(2) === 0);
		const who = comes ? outside[random(outside.length)] : inside[random(inside.length)];
		await losses.begin([we, ...inside.filter((p) => p !== who)]);
		await (comes ? enter(who) : exit(who));
		joins += comes;
		const here = others.filter((p) => p.in);
		const bots = here.filter(isBot), ours = [we, ...here.filter((p) => !isBot(p))];
		if (here.length && (await agree(s, bots, ours))) codes++;
		await sleep(200); // what is still under way, and some frames of everybody
		await losses.end(`change ${change}, ${comes ? 'join' : 'leave'} of ${who.user}`, here.length > 0);
		if (change % 5 === 4 && here.length) await allHear(bots, ours);
		if (change % 10 === 9 && here.length && we.hears) await we.hears(here);
	}
	const here = others.filter((p) => p.in);
	await allHear(here.filter(isBot), [we, ...here.filter((p) => !isBot(p))]);
	if (we.hears) await we.hears(here);
	console.error(
		`fifty_joins_and_leaves: ${joins} joins, ${CHANGES - joins} leaves, ${codes} times equal codes, ` +
			`${losses.heard} frames heard by real clients; lost by ours or of ours ${losses.ours}, among real clients ${losses.theirs}`,
	);
	losses.check();
});
