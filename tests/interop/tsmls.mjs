// SPDX-License-Identifier: MIT
// A member whose encryption is ts-mls's, as creator and as member, with ours and with davey's.
import { agree, allHear, encrypted, enter, exit, test } from './harness.mjs';

for (const who of ['ts_mls_creates_and_commits_and_we_follow', 'we_create_and_commit_and_ts_mls_follows']) {
	await test(who, encrypted, async (s) => {
		const ts = await s.tsBot(1), member = await s.member(1), guest = await s.member(2), other = await s.bot(2);
		const [first, second] = who.startsWith('ts') ? [ts, member] : [member, ts];
		await enter(first);
		await s.dave({ do: 'config', prefer: first.user });
		await enter(second);
		await agree(s, [ts], [member]);
		await allHear([ts], [member]);
		// Adds without a path, Removes with one, of a member of ours and of a real client; and both at once
		for (const x of [guest, other]) {
			await enter(x);
			const bots = x === other ? [ts, other] : [ts], members = x === guest ? [member, guest] : [member];
			await agree(s, bots, members);
			await allHear(bots, members);
			await exit(x);
			await agree(s, [ts], [member]);
			await allHear([ts], [member]);
		}
		await enter(guest);
		await enter(other);
		await agree(s, [ts, other], [member, guest]);
		await Promise.all([exit(guest), exit(other)]);
		await agree(s, [ts], [member]);
		await allHear([ts], [member]);
		const by = s.sim.event('dave.commit').map((e) => e.user);
		if (by.length < 7 || by.some((user) => user !== first.user)) throw new Error(`not all commits were of ${first.user}: ${by}`);
		const { stats } = await ts.ask({ cmd: 'dave' });
		if (stats.recoveries || stats.refused || (first === ts ? stats.commitsWon : stats.commitsFollowed) < by.length - 1)
			throw new Error(`of ts-mls: ${JSON.stringify(stats)}`);
		if (s.sim.event('dave.recover').length) throw new Error('somebody had to recover');
		console.error(`${who}: ${by.length} commits`);
	});
}
