// SPDX-License-Identifier: MIT
// One real client: discord.js with @discordjs/voice (and, inside it, @snazzah/davey). Joins, plays a
// tone, tells what it hears of whom. Driven by JSON lines on stdin.
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { Client, Events, GatewayIntentBits } from 'discord.js';
import {
	createAudioPlayer,
	createAudioResource,
	EndBehaviorType,
	entersState,
	joinVoiceChannel,
	StreamType,
	VoiceConnectionStatus,
} from '@discordjs/voice';
import OpusScript from 'opusscript';

const o = JSON.parse(process.env.BOT);
const say = (m) => process.stdout.write(JSON.stringify(m) + '\n');
const client = new Client({
	intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildVoiceStates],
	rest: { api: o.api },
});
const player = createAudioPlayer();
let connection = null;
let speaking = false;
const heard = new Map(); // by user: counts, and how strong which tone is

// One second of the tone, a whole number of periods: encoded once, played round and round. All of
// opusscript's memory is one heap whose growth breaks what was made before, so everything that is
// needed is made here.
const frames = [];
{
	const encoder = new OpusScript(48000, 2, OpusScript.Application.AUDIO);
	for (let n = 0; n < 2 * 48000; n += 960) {
		const pcm = Buffer.alloc(960 * 4);
		for (let i = 0; i < 960; i++) {
			const v = Math.round(5826 * Math.sin((2 * Math.PI * o.hz * (n + i)) / 48000)); // -15 dBFS
			pcm.writeInt16LE(v, 4 * i);
			pcm.writeInt16LE(v, 4 * i + 2);
		}
		const frame = Buffer.from(encoder.encode(pcm, 960));
		if (n >= 48000) frames.push(frame);
	}
	encoder.delete();
}
const decoders = Array.from({ length: 8 }, () => new OpusScript(48000, 1));
const decoderOf = new Map(); // by user

function* tone() {
	for (let n = 0; speaking; n++) yield frames[n % frames.length];
}

/** Power of a tone in mono samples, relative to the whole. */
function share(samples, hz) {
	let re = 0, im = 0, all = 0;
	for (let i = 0; i < samples.length; i++) {
		const a = (2 * Math.PI * hz * i) / 48000;
		re += samples[i] * Math.cos(a);
		im += samples[i] * Math.sin(a);
		all += samples[i] * samples[i];
	}
	return all ? (2 * (re * re + im * im)) / (samples.length * all) : 0;
}

function listen(user) {
	if (!connection || heard.get(user)?.open) return;
	if (!decoderOf.has(user)) decoderOf.set(user, decoders[decoderOf.size]);
	const h = heard.get(user) ?? { packets: 0, silent: 0, bad: 0, decoder: decoderOf.get(user), pcm: [] };
	h.open = true;
	heard.set(user, h);
	const stream = connection.receiver.subscribe(user, { end: { behavior: EndBehaviorType.Manual } });
	stream.on('data', (packet) => {
		if (packet.length === 3 && packet[0] === 0xf8 && packet[1] === 0xff && packet[2] === 0xfe) {
			h.silent++;
			return;
		}
		h.packets++;
		try {
			const d = h.decoder.decode(packet);
			h.pcm.push(new Int16Array(d.buffer, d.byteOffset, d.length / 2).slice());
			if (h.pcm.length > 50) h.pcm.shift();
		} catch {
			h.bad++;
		}
	});
	stream.on('error', () => h.bad++);
	// one packet that does not decrypt ends the stream; the user goes on talking
	stream.on('close', () => {
		h.open = false;
		setTimeout(() => listen(user), 20);
	});
}

const session = () => connection?.state.networking?.state.dave?.session;

const commands = {
	async join() {
		const guild = client.guilds.cache.get(o.guild);
		connection = joinVoiceChannel({
			guildId: o.guild,
			channelId: o.channel,
			adapterCreator: guild.voiceAdapterCreator,
			selfDeaf: false,
			selfMute: false,
			daveEncryption: o.dave ?? true,
			debug: true,
		});
		if (process.env.INTEROP_DEBUG)
			connection.on('debug', (m) => process.stderr.write(m.slice(0, 300) + '\n'));
		connection.receiver.speaking.on('start', listen);
		connection.on('error', (e) => say({ event: 'error', what: String(e) }));
		connection.on('transitioned', (id) => say({ event: 'transitioned', id }));
		await entersState(connection, VoiceConnectionStatus.Ready, 40000);
		connection.subscribe(player);
	},
	async leave() {
		speaking = false;
		player.stop(true);
		heard.clear();
		connection?.destroy();
		connection = null;
	},
	async speak() {
		speaking = true;
		player.play(createAudioResource(Readable.from(tone(), { objectMode: true }), { inputType: StreamType.Opus }));
	},
	async hush() {
		speaking = false;
	},
	/** Of each user: packets since the last time asked, and the share of a tone in the last second. */
	async heard({ tones }) {
		const out = {};
		for (const [user, h] of heard) {
			const pcm = Int16Array.from(h.pcm.flatMap((a) => [...a]));
			out[user] = { packets: h.packets, silent: h.silent, bad: h.bad, share: share(pcm, tones?.[user] ?? 1000) };
			h.packets = h.silent = h.bad = 0;
		}
		return {
			heard: out,
			status: connection?.state.status,
			speakers: [...(connection?.receiver.speaking.users.keys() ?? [])],
			known: [...(connection?.receiver.ssrcMap.map.values() ?? [])].map((v) => v.userId),
		};
	},
	async dave() {
		const s = session();
		return {
			status: connection?.state.status ?? 'none',
			ready: Boolean(s?.ready),
			epoch: s?.epoch == null ? null : Number(s.epoch),
			code: s?.voicePrivacyCode || '',
			users: s?.ready ? s.getUserIds() : [],
			version: connection?.state.networking?.state.dave?.protocolVersion ?? 0,
		};
	},
	async verify({ user }) {
		return { code: await session().getVerificationCode(user) };
	},
};

createInterface({ input: process.stdin })
	.on('line', async (line) => {
		const m = JSON.parse(line);
		try {
			say({ id: m.id, ok: true, ...(await commands[m.cmd](m)) });
		} catch (e) {
			say({ id: m.id, ok: false, error: String(e) });
		}
	})
	.on('close', () => process.exit(0));
client.on(Events.Error, (e) => say({ event: 'error', what: String(e) }));
client.once(Events.ClientReady, () => say({ event: 'ready' }));
client.login(o.token).catch((e) => {
	process.stderr.write(String(e));
	process.exit(3);
});
