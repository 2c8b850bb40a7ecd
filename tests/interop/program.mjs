// SPDX-License-Identifier: MIT
// loopline-discord itself with real clients: what is played into `phone` must reach them, what they say
// must be recorded from `discord`, and all privacy codes must be equal.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import http from 'node:http';
import { join, resolve } from 'node:path';
import { agree, allHear, encrypted, test } from './harness.mjs';
import { build, sleep, until } from './sandbox.mjs';

const program = join(build, 'loopline-discord');
const rate = 48000;

class Loopline {
	static async start(s) {
		const l = new Loopline();
		l.s = s;
		l.user = s.ready.bot_id;
		l.hz = 1013;
		const conf = join(s.dir, 'asound.conf');
		writeFileSync(
			conf,
			`</usr/share/alsa/alsa.conf>\n<${resolve('alsa/cable/cable.conf')}>\n` +
				`pcm_type.cable.lib "${resolve(build, 'libasound_module_pcm_cable.so')}"\n`,
		);
		l.env = { ...process.env, ALSA_CONFIG_PATH: conf, LOOPLINE_RUNTIME_DIR: s.dir };
		l.child = spawn(resolve(program), [], {
			cwd: s.dir,
			env: {
				...l.env,
				BOT_TOKEN: s.ready.token,
				VOICE_CHANNEL_ID: s.channel,
				DISCORD_API_URL: s.ready.api_url,
				CA_FILE: s.ready.ca,
				LOG: 'debug',
			},
			stdio: ['ignore', 'ignore', 'pipe'],
		});
		l.log = '';
		l.child.stderr.on('data', (d) => (l.log += d));
		l.child.on('exit', (code) => (l.exited = code ?? -1));
		s.peers.push(l);
		await until('its local API', () => {
			if (l.exited !== undefined) throw new Error(`loopline-discord ended: ${l.log.slice(-500)}`);
			return existsSync(join(s.dir, 'discord.sock'));
		});
		return l;
	}

	api(method, path) {
		return new Promise((done, fail) => {
			const r = http.request({ socketPath: join(this.s.dir, 'discord.sock'), method, path }, (a) => {
				let text = '';
				a.on('data', (d) => (text += d));
				a.on('end', () => {
					try {
						done(JSON.parse(text || '{}'));
					} catch {
						done({ text });
					}
				});
			});
			r.on('error', fail);
			r.end();
		});
	}

	async line() {
		return (await this.api('GET', '/v1/state')).lines?.[0] ?? {};
	}

	async connect() {
		await this.api('POST', '/v1/lines/0/connect');
		await until(
			'loopline-discord to be in the channel',
			async () => JSON.stringify(await this.line()).includes('"connected"'),
			60000,
		).catch(async (e) => {
			throw new Error(`${e.message}: ${JSON.stringify(await this.line())} ${this.log.slice(-800)}`);
		});
	}

	async disconnect() {
		await this.api('POST', '/v1/lines/0/disconnect');
		await until('it to be gone', () => this.s.sim.ask({ cmd: 'state' }).then((x) =>
			!x.voices.some((v) => v.user === this.user)));
	}

	async code() {
		const found = /"privacy_code":"(\d{30})"/.exec(JSON.stringify(await this.api("GET", "/v1/state")));
		return found?.[1] ?? '';
	}

	/** A tone into `phone` for as long as the test runs. */
	speak() {
		const seconds = 120, n = seconds * rate, wav = Buffer.alloc(44 + 2 * n);
		wav.write('RIFF', 0);
		wav.writeUInt32LE(36 + 2 * n, 4);
		wav.write('WAVEfmt ', 8);
		wav.writeUInt32LE(16, 16);
		wav.writeUInt16LE(1, 20);
		wav.writeUInt16LE(1, 22);
		wav.writeUInt32LE(rate, 24);
		wav.writeUInt32LE(2 * rate, 28);
		wav.writeUInt16LE(2, 32);
		wav.writeUInt16LE(16, 34);
		wav.write('data', 36);
		wav.writeUInt32LE(2 * n, 40);
		for (let i = 0; i < n; i++)
			wav.writeInt16LE(Math.round(5826 * Math.sin((2 * Math.PI * this.hz * i) / rate)), 44 + 2 * i);
		const path = join(this.s.dir, 'phone.wav');
		writeFileSync(path, wav);
		this.player = spawn('aplay', ['-q', '-D', 'phone', path], { env: this.env, stdio: 'ignore' });
	}

	/** What is heard on `discord` for a second: how strong each tone is, as a share of the whole. */
	async heard(peers) {
		const path = join(this.s.dir, 'discord.wav');
		await new Promise((done) =>
			spawn('arecord', ['-q', '-D', 'discord', '-f', 'S16_LE', '-r', String(rate), '-c', '1', '-d', '1', path], {
				env: this.env,
				stdio: 'ignore',
			}).on('exit', done),
		);
		const b = readFileSync(path).subarray(44), x = new Int16Array(b.buffer, b.byteOffset, b.length >> 1);
		// in pieces of 100 ms: a busy machine's players skip now and then, and the phase with them
		const shares = peers.map(() => 0);
		for (let at = 0; at + 4800 <= x.length; at += 4800) {
			let all = 0;
			for (let i = at; i < at + 4800; i++) all += x[i] * x[i];
			peers.forEach(({ hz }, k) => {
				let re = 0, im = 0;
				for (let i = at; i < at + 4800; i++) {
					re += x[i] * Math.cos((2 * Math.PI * hz * i) / rate);
					im += x[i] * Math.sin((2 * Math.PI * hz * i) / rate);
				}
				if (all) shares[k] += (2 * (re * re + im * im)) / (4800 * all) / Math.floor(x.length / 4800);
			});
		}
		return shares;
	}

	/** Each of the peers' tones is there, with its share (they are equally loud). */
	async hears(peers) {
		await until(
			'the tones on `discord`',
			async () => {
				this.last = await this.heard(peers);
				return this.last.every((share) => share > 0.5 / peers.length);
			},
			60000,
		).catch((e) => {
			throw new Error(`${e.message}: ${JSON.stringify(this.last)} ${this.log.slice(-800)}`);
		});
	}

	/** Frames of ours and theirs that were dropped, as its own counters have it. */
	async stop() {
		this.player?.kill();
		this.child.kill('SIGTERM');
		for (let i = 0; i < 100 && this.exited === undefined; i++) await sleep(50);
		if (this.exited === undefined) this.child.kill('SIGKILL');
	}
}

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

	await test('loopline_discord_down_to_version_0_and_up_again', { dave: true, require_dave: false }, async (s) => {
		const l = await Loopline.start(s), bot = await s.bot(1);
		await enter(s, bot);
		await enter(s, l);
		l.speak();
		await together(s, l, [bot]);
		await allHear([bot], [l]);
		await s.dave({ do: 'downgrade' });
		await until('version 0', async () => (await s.dave({ do: 'state' })).settled);
		await allHear([bot], [l]);
		await l.hears([bot]);
		await s.dave({ do: 'upgrade' });
		await together(s, l, [bot]);
		await allHear([bot], [l]);
		await l.hears([bot]);
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
