// SPDX-License-Identifier: MIT
// Real clients alone: what they and the sandbox disagree about is a fault of the sandbox.
import { agree, allHear, encrypted, plain, test } from './harness.mjs';
import { until } from './sandbox.mjs';

for (const mode of ['aead_aes256_gcm_rtpsize', 'aead_xchacha20_poly1305_rtpsize']) {
	await test(`two_clients_without_dave_${mode.includes('gcm') ? 'gcm' : 'xchacha'}`, { ...plain, modes: [mode] }, async (s) => {
		const a = await s.bot(1, { dave: false }), b = await s.bot(2, { dave: false });
		await a.ask({ cmd: 'join' });
		await b.ask({ cmd: 'join' });
		await a.ask({ cmd: 'speak' });
		await b.ask({ cmd: 'speak' });
		await allHear([a, b]);
	});
}

await test('client_and_member_without_dave', plain, async (s) => {
	const a = await s.bot(1, { dave: false }), m = await s.member(1);
	await m.join();
	await a.ask({ cmd: 'join' });
	await m.speak();
	await a.ask({ cmd: 'speak' });
	await allHear([a], [m]);
});

await test('client_without_dave_is_refused', encrypted, async (s) => {
	const a = await s.bot(1, { dave: false });
	await a.ask({ cmd: 'join' }).then(
		() => {
			throw new Error('it was let in');
		},
		() => {},
	);
	if (!s.sim.event('voice.closed').some((e) => e.code === 4017)) throw new Error('no 4017');
});

await test('three_clients_first_second_third', encrypted, async (s) => {
	const bots = [];
	for (let n = 1; n <= 3; n++) {
		const b = await s.bot(n);
		await b.ask({ cmd: 'join' });
		await b.ask({ cmd: 'speak' });
		bots.push(b);
		if (n > 1) {
			await agree(s, bots);
			await allHear(bots);
		}
	}
	await bots[0].ask({ cmd: 'leave' });
	await agree(s, bots.slice(1));
	await allHear(bots.slice(1));
});

await test('clients_down_to_version_0_and_up_again', { dave: true, require_dave: false }, async (s) => {
	const a = await s.bot(1), b = await s.bot(2);
	for (const x of [a, b]) {
		await x.ask({ cmd: 'join' });
		await x.ask({ cmd: 'speak' });
	}
	await agree(s, [a, b]);
	await allHear([a, b]);
	await s.dave({ do: 'downgrade' });
	await until('version 0', async () => (await s.dave({ do: 'state' })).settled);
	await allHear([a, b]);
	await s.dave({ do: 'upgrade' });
	await agree(s, [a, b]);
	await allHear([a, b]);
});

await test('client_recovers_from_forged_commit_and_welcome', encrypted, async (s) => {
	const a = await s.bot(1), b = await s.bot(2), c = await s.bot(3);
	for (const x of [a, b]) {
		await x.ask({ cmd: 'join' });
		await x.ask({ cmd: 'speak' });
	}
	await agree(s, [a, b]);
	// which of the two commits is open: both get a forged one, and one of them is the other's
	await s.dave({ do: 'fault', user: a.user, fault: 'forge_commit' });
	await c.ask({ cmd: 'join' });
	await s.dave({ do: 'fault', user: c.user, fault: 'forge_welcome' });
	await c.ask({ cmd: 'speak' });
	await agree(s, [a, b, c]);
	await allHear([a, b, c]);
});
