// SPDX-License-Identifier: MIT
// loopline-discord as a peer of the tests: what is played into `phone` goes out, what is heard is recorded
// from `discord`, and its local API tells the rest.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import http from 'node:http';
import { join, resolve } from 'node:path';
import { build, sleep, until } from './sandbox.mjs';

export const program = join(build, 'loopline-discord');
const rate = 48000;

export class Loopline {
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

	/** The same under the names that other peers have for it. */
	async join() {
		await this.connect();
	}

	async leave() {
		await this.disconnect();
	}

	async code() {
		const found = /"privacy_code":"(\d{30})"/.exec(JSON.stringify(await this.api("GET", "/v1/state")));
		return found?.[1] ?? '';
	}

	/** Verification codes by user. */
	async codes() {
		const [{ verification_codes: codes }] = (await this.api('GET', '/v1/state')).media;
		return new Map(codes.map(({ user_id, code }) => [user_id, code]));
	}

	/** A tone into `phone` for longer than any test runs. */
	speak(seconds = 300) {
		const second = Buffer.alloc(2 * rate), head = Buffer.alloc(44), bytes = seconds * second.length;
		for (let i = 0; i < rate; i++)
			second.writeInt16LE(Math.round(5826 * Math.sin((2 * Math.PI * this.hz * i) / rate)), 2 * i);
		head.write('RIFF', 0);
		head.writeUInt32LE(36 + bytes, 4);
		head.write('WAVEfmt ', 8);
		head.writeUInt32LE(16, 16);
		head.writeUInt16LE(1, 20);
		head.writeUInt16LE(1, 22);
		head.writeUInt32LE(rate, 24);
		head.writeUInt32LE(2 * rate, 28);
		head.writeUInt16LE(2, 32);
		head.writeUInt16LE(16, 34);
		head.write('data', 36);
		head.writeUInt32LE(bytes, 40);
		const path = join(this.s.dir, 'phone.wav');
		writeFileSync(path, Buffer.concat([head, Buffer.alloc(bytes, second)]));
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

	/** Encrypted frames that it could not read. */
	async misunderstood() {
		const [{ dave_no_key, dave_nonce_refused, dave_tag_mismatch }] = (await this.api('GET', '/v1/state')).media;
		const lost = dave_no_key + dave_nonce_refused + dave_tag_mismatch;
		if (!Number.isInteger(lost)) throw new Error('loopline-discord does not count what it cannot read');
		return lost;
	}

	async stop() {
		this.player?.kill();
		this.child.kill('SIGTERM');
		for (let i = 0; i < 100 && this.exited === undefined; i++) await sleep(50);
		if (this.exited === undefined) this.child.kill('SIGKILL');
	}
}
