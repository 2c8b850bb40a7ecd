// SPDX-License-Identifier: MIT
// Loopline's own MLS and DAVE libraries (they keep the keys of the sandbox's members) with real clients.
import { agree, allHear, encrypted, enter, exit, Losses, test } from './harness.mjs';
import { sleep, until } from './sandbox.mjs';

/** What a member of ours understands: nothing may be lost while ms pass. */
async function nothingLost(members, ms, what) {
	const before = await Promise.all(members.map((m) => m.misunderstood()));
	await sleep(ms);
	const after = await Promise.all(members.map((m) => m.misunderstood()));
	after.forEach((n, i) => {
		if (n !== before[i]) throw new Error(`${what}: member lost ${n - before[i]} frames`);
	});
}

for (const [name, order] of [
	['first', 'mbb'],
	['second', 'bmb'],
	['third', 'bbm'],
]) {
	await test(`we_arrive_${name}`, encrypted, async (s) => {
		const bots = [], members = [];
		for (const [i, kind] of [...order].entries()) {
			const peer = kind === 'b' ? await s.bot(i + 1) : await s.member(i + 1);
			await enter(peer);
			(kind === 'b' ? bots : members).push(peer);
			if (i === 0) continue;
			await agree(s, bots, members);
			await allHear(bots, members);
		}
		await nothingLost(members, 1000, 'at rest');
		await exit(bots.shift());
		await agree(s, bots, members);
		await allHear(bots, members);
	});
}

await test('we_commit_and_they_follow_and_the_other_way_round', encrypted, async (s) => {
	const bot = await s.bot(1), member = await s.member(1), guest = await s.member(2), other = await s.bot(2);
	for (const first of [bot, member]) {
		await enter(bot);
		await s.dave({ do: 'config', prefer: first.user });
		await enter(member);
		await agree(s, [bot], [member]);
		// an Add without a path, a Remove with one, of a real client and of one of ours
		for (const who of [other, guest]) {
			await enter(who);
			const bots = [bot, ...(who === other ? [other] : [])], members = [member, ...(who === guest ? [guest] : [])];
			await agree(s, bots, members);
			await allHear(bots, members);
			await exit(who);
			await agree(s, [bot], [member]);
			await allHear([bot], [member]);
		}
		const by = s.sim.event('dave.commit').splice(0).map((e) => e.user);
		if (by.slice(-5).some((user) => user !== first.user)) throw new Error(`not all commits were of ${first.user}: ${by}`);
		await exit(member);
		await exit(bot);
		s.sim.events = s.sim.events.filter((e) => e.event === 'complaint' || e.event === 'ready');
	}
});

await test('verification_codes_are_those_of_the_client', encrypted, async (s) => {
	const bot = await s.bot(1), member = await s.member(1);
	await enter(bot);
	await enter(member);
	await agree(s, [bot], [member]);
	const { code } = await bot.ask({ cmd: 'verify', user: member.user });
	if (!/^\d{45}$/.test(code)) throw new Error(`no code: ${code}`);
	const ours = (await s.dave({ do: 'verify', user: member.user, other: bot.user })).code;
	if (ours !== code) throw new Error(`${ours} is not ${code}`);
});

await test('we_go_down_to_version_0_and_up_again', { dave: true, require_dave: false }, async (s) => {
	const bot = await s.bot(1), member = await s.member(1);
	await enter(bot);
	await enter(member);
	await agree(s, [bot], [member]);
	await allHear([bot], [member]);
	const losses = new Losses();
	await losses.begin([bot, member]);
	for (let i = 0; i < 2; i++) {
		await s.dave({ do: 'downgrade' });
		await until('version 0', async () => (await s.dave({ do: 'state' })).settled);
		await allHear([bot], [member]);
		await nothingLost([member], 500, 'in version 0');
		await s.dave({ do: 'upgrade' });
		await agree(s, [bot], [member]);
		await allHear([bot], [member]);
	}
	await losses.end('down and up');
	losses.check();
});

await test('we_refuse_a_forged_commit_and_come_back', encrypted, async (s) => {
	const bot = await s.bot(1), other = await s.bot(2), member = await s.member(1);
	await enter(bot);
	await enter(member);
	await agree(s, [bot], [member]);
	await s.dave({ do: 'fault', user: member.user, fault: 'forge_commit' });
	await enter(other);
	await until('op 31 of ours', () => s.sim.event('dave.recover').some((e) => e.user === member.user));
	await agree(s, [bot, other], [member]);
	await allHear([bot, other], [member]);
});

await test('we_refuse_a_forged_welcome_and_come_back', encrypted, async (s) => {
	const bot = await s.bot(1), other = await s.bot(2), member = await s.member(1);
	await enter(bot);
	await enter(other);
	await agree(s, [bot, other]);
	await member.join();
	await s.dave({ do: 'fault', user: member.user, fault: 'forge_welcome' });
	await member.speak();
	await until('op 31 of ours', () => s.sim.event('dave.recover').some((e) => e.user === member.user));
	await agree(s, [bot, other], [member]);
	await allHear([bot, other], [member]);
});

await test('we_refuse_somebody_who_was_not_announced', encrypted, async (s) => {
	const bot = await s.bot(1), other = await s.bot(2), member = await s.member(1);
	await enter(bot);
	await enter(member);
	await agree(s, [bot], [member]);
	await s.dave({ do: 'stranger', user: member.user, stranger: '666666666666666666' });
	await until('a word of ours', () =>
		s.sim.event('dave.log').some((e) => e.user === member.user && /not announced/.test(e.line)));
	await allHear([bot], [member]);
	await enter(other);
	await agree(s, [bot, other], [member]);
	await allHear([bot, other], [member]);
});

await test('we_come_back_from_a_lost_welcome', encrypted, async (s) => {
	const bot = await s.bot(1), other = await s.bot(2), member = await s.member(1);
	await enter(bot);
	await enter(other);
	await agree(s, [bot, other]);
	await member.join();
	await s.dave({ do: 'fault', user: member.user, fault: 'lose_welcome' });
	await member.speak();
	await until('op 31 of ours', () => s.sim.event('dave.recover').some((e) => e.user === member.user), 60000);
	await agree(s, [bot, other], [member]);
	await allHear([bot, other], [member]);
});
