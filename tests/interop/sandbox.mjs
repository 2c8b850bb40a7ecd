// SPDX-License-Identifier: MIT
// The sandbox (build/tests/sim_discord) and real clients as child processes that speak JSON lines.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
export const build = process.env.BUILD ?? 'build';
export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Calls test() until it gives something true. */
export async function until(what, test, ms = 45000) {
	const end = Date.now() + ms;
	for (;;) {
		const got = await test();
		if (got) return got;
		if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
		await sleep(40);
	}
}

/** A child that answers each {"id":n,…} line by {"id":n,"ok":…}; all else are events. */
export class Peer {
	constructor(command, args, env, name) {
		this.name = name;
		this.events = [];
		this.waiting = new Map();
		this.next = 1;
		this.exited = null;
		this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
		this.stderr = '';
		this.child.stderr.on('data', (d) => (this.stderr = (this.stderr + d).slice(-4000)));
		this.child.stdin.on('error', () => {});
		this.child.on('exit', (code, signal) => {
			this.exited = { code, signal };
			for (const w of this.waiting.values()) w.reject(new Error(`${name} ended: ${this.stderr}`));
			this.waiting.clear();
		});
		createInterface({ input: this.child.stdout }).on('line', (line) => {
			let m;
			try {
				m = JSON.parse(line);
			} catch {
				return;
			}
			const w = m.id === undefined ? undefined : this.waiting.get(m.id);
			if (!w) {
				this.events.push(m);
				if (process.env.INTEROP_LOG) console.error(name, line);
				return;
			}
			this.waiting.delete(m.id);
			if (m.ok === false) w.reject(new Error(`${name}: ${m.error}`));
			else w.resolve(m);
		});
	}

	ask(o) {
		if (this.exited) return Promise.reject(new Error(`${this.name} has ended: ${this.stderr}`));
		const id = this.next++;
		this.child.stdin.write(JSON.stringify({ ...o, id }) + '\n');
		return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
	}

	event(name) {
		return this.events.filter((e) => e.event === name);
	}

	async stop() {
		this.child.stdin.end();
		for (let i = 0; i < 50 && !this.exited; i++) await sleep(40);
		if (!this.exited) this.child.kill('SIGKILL');
	}
}

/** One sandbox with a channel, and whoever joins it. */
export class Sandbox {
	static async start(room = {}) {
		const s = new Sandbox();
		s.dir = mkdtempSync(join(tmpdir(), 'loopline-interop-'));
		s.peers = [];
		s.bots = [];
		s.sim = new Peer(join(build, 'tests/sim_discord'), ['--dir', s.dir], process.env, 'sim_discord');
		s.ready = await until('sim_discord', () => s.sim.event('ready')[0]);
		s.guild = s.ready.guilds[0].id;
		s.channel = s.ready.guilds[0].voice[0];
		await s.room(room);
		return s;
	}

	room(o) {
		return this.sim.ask({ cmd: 'room', channel: this.channel, ...o });
	}

	dave(o) {
		return this.sim.ask({ cmd: 'dave', channel: this.channel, ...o });
	}

	/** A real client (bot.mjs), ready to join. hz: the tone that it plays. */
	async bot(n, options = {}, program = 'bot') {
		const name = program + n;
		const token = `token-of-client-${n}`;
		const user = String(910000000000000000n + BigInt(n));
		await this.sim.ask({ cmd: 'bot', token, user, name });
		const bot = new Peer(
			process.execPath,
			[join(here, `${program}.mjs`)],
			{
				...process.env,
				NODE_EXTRA_CA_CERTS: this.ready.ca,
				BOT: JSON.stringify({
					api: this.ready.api_url.replace(/\/v10$/, ''),
					token,
					guild: this.guild,
					channel: this.channel,
					hz: 300 + 137 * n,
					...options,
				}),
			},
			name,
		);
		bot.user = user;
		bot.hz = 300 + 137 * n;
		this.peers.push(bot);
		await until(`${name} to log in`, () => {
			if (bot.exited) throw new Error(`${name} ended: ${bot.stderr}`);
			return bot.event('ready')[0];
		});
		return bot;
	}

	/** A client whose encryption is ts-mls's (tsbot.mjs). */
	tsBot(n) {
		return this.bot(n, {}, 'tsbot');
	}

	/** A member that the simulator plays. */
	async member(n) {
		const member = `member${n}`;
		const user = String(920000000000000000n + BigInt(n));
		const hz = 350 + 131 * n;
		await this.sim.ask({ cmd: 'member', member, user });
		return {
			user,
			hz,
			join: () => this.sim.ask({ cmd: 'join', member, channel: this.channel }),
			leave: () => this.sim.ask({ cmd: 'leave', member }),
			speak: () =>
				this.sim.ask({ cmd: 'speak', member, voice: { tone: hz, dbfs: -15 }, application: 'voip' }),
			hush: () => this.sim.ask({ cmd: 'hush', member }),
			code: async () => (await this.dave({ do: 'state' })).codes[user],
			misunderstood: async () => (await this.dave({ do: 'state' })).misunderstood[user],
		};
	}

	complaints() {
		return this.sim.event('complaint').map((e) => e.what);
	}

	async stop() {
		for (const p of this.peers) await p.stop();
		await this.sim.stop();
		rmSync(this.dir, { recursive: true, force: true });
	}
}
