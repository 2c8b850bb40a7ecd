// SPDX-License-Identifier: MIT
// A client of our own making around ts-mls (tsdave.mjs): gateway, voice gateway and UDP as far as a
// member of a voice channel needs them. Driven like bot.mjs, by JSON lines on stdin.
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { createSocket } from 'node:dgram';
import WebSocket from 'ws';
import { say, serve } from './commanded.mjs';
import { Ear, tone } from './tone.mjs';
import { TsDave } from './tsdave.mjs';

const o = JSON.parse(process.env.BOT);
const log = (text) => process.env.INTEROP_DEBUG && process.stderr.write(`${text}\n`);
const frames = tone(o.hz);
const ear = new Ear();
let gateway, me, voice = null;

/** Resolves with the first message for which the function gives something true. */
const waiters = new Set();
function next(test, ms = 20000) {
	return new Promise((resolve, reject) => {
		const w = { test, resolve };
		waiters.add(w);
		setTimeout(() => waiters.delete(w) && reject(new Error('no answer')), ms).unref();
	});
}

function connectGateway(url) {
	gateway = new WebSocket(`${url}/?v=10&encoding=json`);
	let s = null;
	gateway.on('message', (data) => {
		const m = JSON.parse(data);
		s = m.s ?? s;
		if (m.op === 10) {
			setInterval(() => gateway.send(JSON.stringify({ op: 1, d: s })), m.d.heartbeat_interval).unref();
			const properties = { os: 'linux', browser: 'interop', device: 'interop' };
			gateway.send(JSON.stringify({ op: 2, d: { token: o.token, intents: 129, properties } }));
		} else if (m.t === 'READY') {
			me = m.d.user.id;
		} else if (m.t === 'GUILD_CREATE' && m.d.id === o.guild) {
			say({ event: 'ready' });
		}
		for (const w of waiters) {
			if (!w.test(m)) continue;
			waiters.delete(w);
			w.resolve(m.d);
		}
	});
	gateway.on('error', (e) => {
		process.stderr.write(String(e));
		process.exit(3);
	});
}

class Voice {
	constructor(server, state) {
		this.server = server;
		this.state = state;
		this.seq = -1;
		this.ssrcs = new Map();
		this.counts = new Map(); // by user: how encrypted frames fared
		this.early = []; // frames that may be of an epoch that is still being worked on
		this.work = Promise.resolve();
		this.ready = new Promise((resolve, reject) => {
			this.resolve = resolve;
			setTimeout(() => reject(new Error('voice is not ready')), 40000).unref();
		});
		this.dave = new TsDave(me, o.channel, {
			binary: (b) => this.ws.send(b),
			json: (op, d) => this.json(op, d),
			log: (line) => {
				log(line);
				say({ event: 'dave', line });
			},
		});
		this.ws = new WebSocket(`wss://${server.endpoint}/?v=8`);
		this.ws.on('open', () =>
			this.json(0, {
				server_id: o.guild,
				user_id: me,
				session_id: state.session_id,
				token: server.token,
				max_dave_protocol_version: 1,
			}),
		);
		// one after the other: a commit must not be overtaken by what follows it
		this.ws.on('message', (data, isBinary) => {
			this.work = this.work
				.then(() => (isBinary ? this.binary(data) : this.message(JSON.parse(data))))
				.catch((e) => say({ event: 'error', what: String(e.stack ?? e) }))
				.then(() => this.tryAgain());
		});
		this.ws.on('close', (code) => say({ event: 'voice.closed', code }));
		this.ws.on('error', (e) => say({ event: 'error', what: String(e) }));
	}

	json(op, d) {
		if (this.ws.readyState === WebSocket.OPEN) this.ws.send(JSON.stringify({ op, d }));
	}

	async binary(data) {
		this.seq = data.readUInt16BE(0);
		await this.dave.binary(data[2], data.subarray(3));
	}

	async message({ op, d, seq }) {
		if (seq !== undefined) this.seq = seq;
		if (op === 8) {
			this.beat = setInterval(() => this.json(3, { t: Date.now(), seq_ack: this.seq }), d.heartbeat_interval);
		} else if (op === 2) {
			await this.discover(d);
		} else if (op === 4) {
			this.key = Buffer.from(d.secret_key);
			await this.dave.select(d.dave_protocol_version ?? 0);
			this.resolve();
		} else if (op === 5) {
			this.ssrcs.set(d.ssrc, d.user_id);
		} else if (op === 11) {
			this.dave.connect(d.user_ids);
		} else if (op === 13) {
			this.dave.disconnect(d.user_id);
		} else if (op === 21) {
			await this.dave.prepareTransition(d);
		} else if (op === 22) {
			this.dave.execute(d.transition_id);
		} else if (op === 24) {
			await this.dave.prepareEpoch(d);
		}
	}

	async discover({ ip, port, ssrc }) {
		this.ssrc = ssrc;
		this.udp = createSocket('udp4');
		await new Promise((done) => this.udp.connect(port, ip, done));
		const ask = Buffer.alloc(74);
		ask.writeUInt16BE(1, 0);
		ask.writeUInt16BE(70, 2);
		ask.writeUInt32BE(ssrc, 4);
		const answer = await new Promise((done) => {
			this.udp.once('message', done);
			this.udp.send(ask);
		});
		this.udp.on('message', (packet) => this.rtp(packet));
		this.json(1, {
			protocol: 'udp',
			data: {
				address: answer.subarray(8, answer.indexOf(0, 8)).toString(),
				port: answer.readUInt16BE(72),
				mode: 'aead_aes256_gcm_rtpsize',
			},
		});
	}

	/** aead_aes256_gcm_rtpsize: header || ciphertext || tag || four bytes of nonce. */
	rtp(b) {
		if (b.length < 32 || b[0] >> 6 !== 2 || (b[1] & 127) !== 120 || !this.key) return;
		const user = this.ssrcs.get(b.readUInt32BE(8)), extended = b[0] & 16;
		let aad = 12 + 4 * (b[0] & 15), skip = 0;
		if (extended) {
			skip = 4 * b.readUInt16BE(aad + 2);
			aad += 4;
		}
		const iv = Buffer.alloc(12);
		b.copy(iv, 0, b.length - 4);
		const d = createDecipheriv('aes-256-gcm', this.key, iv);
		d.setAAD(b.subarray(0, aad));
		d.setAuthTag(b.subarray(b.length - 20, b.length - 4));
		let payload = Buffer.concat([d.update(b.subarray(aad, b.length - 20)), d.final()]);
		if (b[0] & 32) payload = payload.subarray(0, payload.length - payload[payload.length - 1]);
		payload = payload.subarray(skip);
		if (!user || !payload.length) return;
		const c = this.counts.get(user) ?? { opened: 0, lost: 0, before: 0, plain: 0 };
		this.counts.set(user, c);
		try {
			ear.packet(user, this.dave.decrypt(user, payload));
			c.opened++;
		} catch (e) {
			if (e.message === 'plain') c.plain++;
			else if (this.dave.ready) this.early.push({ user, payload, at: performance.now() });
			else c.before++;
		}
	}

	/** davey sends with a new key as soon as it has seen the commit, which ts-mls may still be at: what does
	 * not open at once is tried again for a while before it counts as lost. */
	tryAgain() {
		this.early = this.early.filter(({ user, payload, at }) => {
			const c = this.counts.get(user);
			try {
				ear.packet(user, this.dave.decrypt(user, payload));
				c.opened++;
				return false;
			} catch {
				if (performance.now() - at < 150) return true;
				c.lost++;
				return false;
			}
		});
	}

	speak() {
		let n = 0, seq = 1, timestamp = 960, nonce = 0;
		const began = performance.now();
		this.json(5, { speaking: 1, delay: 0, ssrc: this.ssrc });
		this.talk = setInterval(() => {
			// as many as are due: timers of a busy machine come late
			for (; n < (performance.now() - began) / 20; n++, seq++, timestamp += 960) {
				const packet = this.dave.encrypt(frames[n % frames.length]);
				if (!packet) continue;
				const header = Buffer.from([0x80, 120, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), iv = Buffer.alloc(12);
				header.writeUInt16BE(seq & 0xffff, 2);
				header.writeUInt32BE(timestamp >>> 0, 4);
				header.writeUInt32BE(this.ssrc, 8);
				iv.writeUInt32BE(++nonce, 0);
				const c = createCipheriv('aes-256-gcm', this.key, iv);
				c.setAAD(header);
				this.udp.send(Buffer.concat([header, c.update(packet), c.final(), c.getAuthTag(), iv.subarray(0, 4)]));
			}
		}, 10);
	}

	stop() {
		clearInterval(this.beat);
		clearInterval(this.talk);
		this.ws.close(1000);
		this.udp?.close();
	}
}

const voiceState = (channel) =>
	gateway.send(JSON.stringify({ op: 4, d: { guild_id: o.guild, channel_id: channel, self_deaf: false, self_mute: false } }));

const commands = {
	async join() {
		const state = next((m) => m.t === 'VOICE_STATE_UPDATE' && m.d.user_id === me && m.d.channel_id === o.channel);
		const server = next((m) => m.t === 'VOICE_SERVER_UPDATE' && m.d.endpoint);
		voiceState(o.channel);
		voice = new Voice(await server, await state);
		await voice.ready;
	},
	async leave() {
		voice.stop();
		voice = null;
		ear.clear();
		voiceState(null);
	},
	async speak() {
		voice.speak();
	},
	async hush() {
		clearInterval(voice.talk);
	},
	async heard({ tones }) {
		return { heard: ear.report(tones) };
	},
	async counts() {
		voice?.tryAgain();
		return { counts: Object.fromEntries(voice?.counts ?? []) };
	},
	async dave() {
		const d = voice?.dave;
		return {
			ready: Boolean(d?.ready),
			epoch: d?.epoch ?? null,
			code: d?.code ?? '',
			users: d?.users ?? [],
			version: d?.version ?? 0,
			stats: d?.stats,
		};
	},
};

serve(commands);
const answer = await fetch(`${o.api}/v10/gateway/bot`, {
	headers: { authorization: `Bot ${o.token}`, 'user-agent': 'DiscordBot (https://example.invalid, 0)' },
});
connectGateway((await answer.json()).url);
