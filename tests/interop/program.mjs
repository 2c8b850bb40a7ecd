// SPDX-License-Identifier: MIT
// loopline-discord itself with real clients: what is played into `phone` must reach them, what they say
// must be recorded from `discord`, and all privacy codes must be equal.
import { existsSync } from 'node:fs';
import { agree, allHear, encrypted, Losses, test } from './harness.mjs';
import { Loopline, program } from './loopline.mjs';
import { until } from './sandbox.mjs';

/** agree() with the program as one more. */
async function together(s, l, bots) {
	await until('our privacy code to be theirs', async () => {
		const codes = [await l.code(), ...(await Promise.all(bots.map(async (b) => (await b.ask({ cmd: 'dave' })).code)))];
		s.codes = codes;
		return (await s.dave({ do: 'state' })).settled && codes[0] && codes.every((c) => c === codes[0]);
	}).catch(async (e) => {
		throw new Error(`${e.message}: ${JSON.stringify(s.codes)} ${JSON.stringify(await l.api('GET', '/v1/state'))} ${l.log.slice(-600)}`);
	});
}

async function enter(s, x) {
	if (x instanceof Loopline) {
		await x.connect();
	} else {
		await x.ask({ cmd: 'join' });
		await x.ask({ cmd: 'speak' });
	}
}

if (!existsSync(program)) {
	console.log('skip loopline_discord_with_real_clients: loopline-discord is not built');
} else {
	for (const [name, place] of [['first', 0], ['second', 1], ['third', 2]]) {
		await test(`loopline_discord_arrives_${name}`, encrypted, async (s) => {
			const l = await Loopline.start(s);
			const bots = [await s.bot(1), await s.bot(2)], all = [...bots];
			all.splice(place, 0, l);
			for (const x of all) await enter(s, x);
			await until('its codes', async () => (await l.code()) !== '');
			l.speak();
			await together(s, l, bots);
			await allHear(bots, [l]);
			await l.hears(bots);
			for (const bot of bots) {
				const { code } = await bot.ask({ cmd: 'verify', user: l.user });
				await until(`the verification code of ${bot.name}`, async () => (await l.codes()).get(bot.user) === code);
				if (!l.log.includes(code.replace(/(.{5})(?=.)/g, '$1 '))) throw new Error('the log lacks it');
			}
			// one leaves, and comes again
			await bots[0].ask({ cmd: 'leave' });
			await together(s, l, [bots[1]]);
			await allHear([bots[1]], [l]);
			await l.hears([bots[1]]);
			await enter(s, bots[0]);
			await together(s, l, bots);
			await allHear(bots, [l]);
			await l.hears(bots);
		});
	}

	await test('loopline_discord_commits_and_others_follow_and_the_other_way_round', encrypted, async (s) => {
		const l = await Loopline.start(s), bot = await s.bot(1), ts = await s.tsBot(2), other = await s.bot(3);
		await enter(s, l);
		l.speak();
		for (const first of [l, bot, ts]) {
			const seen = s.sim.event('dave.commit').length;
			await s.dave({ do: 'config', prefer: first.user });
			await enter(s, bot);
			await enter(s, ts);
			await together(s, l, [bot, ts]);
			await allHear([bot, ts], [l]);
			// somebody comes and goes: a commit without a path, one with it
			await enter(s, other);
			await together(s, l, [bot, ts, other]);
			await other.ask({ cmd: 'leave' });
			await together(s, l, [bot, ts]);
			await allHear([bot, ts], [l]);
			await l.hears([bot, ts]);
			const by = s.sim.event('dave.commit').slice(seen).map((e) => e.user);
			if (by.slice(-2).some((user) => user !== first.user)) throw new Error(`not of ${first.user}: ${by}`);
			if (first === l && by.some((user) => user !== l.user)) throw new Error(`not of ours: ${by}`);
			await bot.ask({ cmd: 'leave' });
			await ts.ask({ cmd: 'leave' });
			await until('it to be alone', async () => (await s.dave({ do: 'state' })).settled);
		}
		if (s.sim.event('dave.recover').length) throw new Error('somebody had to recover');
		const lost = await l.misunderstood();
		if (lost) throw new Error(`${lost} frames not understood: ${JSON.stringify((await l.api('GET', '/v1/state')).media)}`);
	});

	await test('loopline_discord_down_to_version_0_and_up_again', { dave: true, require_dave: false }, async (s) => {
		const l = await Loopline.start(s), bot = await s.bot(1);
		await enter(s, bot);
		await enter(s, l);
		l.speak();
		await together(s, l, [bot]);
		await allHear([bot], [l]);
		const losses = new Losses();
		await losses.begin([l, bot]);
		await s.dave({ do: 'downgrade' });
		await until('version 0', async () => (await s.dave({ do: 'state' })).settled);
		await allHear([bot], [l]);
		await l.hears([bot]);
		await s.dave({ do: 'upgrade' });
		await together(s, l, [bot]);
		await allHear([bot], [l]);
		await l.hears([bot]);
		await losses.end('down and up', true);
		losses.check();
	});

	await test('loopline_discord_recovers_from_what_is_forged', encrypted, async (s) => {
		const l = await Loopline.start(s), bot = await s.bot(1), other = await s.bot(2);
		await enter(s, bot);
		await enter(s, l);
		l.speak();
		await together(s, l, [bot]);
		for (const fault of ['forge_commit', 'forge_welcome']) {
			const before = s.sim.event('dave.recover').length;
			await s.dave({ do: 'config', prefer: bot.user });
			if (fault === 'forge_welcome') {
				await l.disconnect();
				await enter(s, other);
				await agree(s, [bot, other]);
			}
			await s.dave({ do: 'fault', user: l.user, fault });
			await enter(s, fault === 'forge_welcome' ? l : other);
			await until(`op 31 after ${fault}`, () => s.sim.event('dave.recover').length > before);
			await together(s, l, [bot, other]);
			await allHear([bot, other], [l]);
			if (fault === 'forge_commit') await other.ask({ cmd: 'leave' });
		}
		await l.hears([bot, other]);
		await s.dave({ do: 'stranger', user: l.user, stranger: '666666666666666666' });
		await until('its refusal', () => /not announced/.test(l.log));
		await allHear([bot, other], [l]);
	});

	await test('loopline_discord_through_a_resume_in_the_middle', encrypted, async (s) => {
		const l = await Loopline.start(s), bot = await s.bot(1), other = await s.bot(2);
		await enter(s, bot);
		await enter(s, l);
		l.speak();
		await together(s, l, [bot]);
		// what the gateway says while the socket is dead comes with the resume
		await s.sim.ask({ cmd: 'voice', user: l.user, do: 'drop' });
		await enter(s, other);
		await together(s, l, [bot, other]);
		await allHear([bot, other], [l]);
		await l.hears([bot, other]);
	});
}
