// SPDX-License-Identifier: MIT
// One real client: discord.js with @discordjs/voice (and, inside it, @snazzah/davey). Joins, plays a
// tone, tells what it hears of whom. Driven by JSON lines on stdin.
import { Readable } from 'node:stream';
import { Client, Events, GatewayIntentBits } from 'discord.js';
import {
	createAudioPlayer,
	createAudioResource,
	DAVESession,
	EndBehaviorType,
	entersState,
	joinVoiceChannel,
	StreamType,
	VoiceConnectionStatus,
} from '@discordjs/voice';
import { say, serve } from './commanded.mjs';
import { Ear, tone } from './tone.mjs';

const o = JSON.parse(process.env.BOT);
const client = new Client({
	intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildVoiceStates],
	rest: { api: o.api },
});
const player = createAudioPlayer();
let connection = null;
let speaking = false;

const frames = tone(o.hz);
const ear = new Ear();
const open = new Set(); // users with a stream

function* speech() {
	for (let n = 0; speaking; n++) yield frames[n % frames.length];
}

// How encrypted frames of each user fare, which the library only tells its debug log: opened, lost,
// or come before there was a group that they could be of.
const counts = new Map();
const { decrypt } = DAVESession.prototype;
DAVESession.prototype.decrypt = function (packet, user) {
	const out = decrypt.call(this, packet, user);
	if (packet.length > 11 && packet.readUInt16BE(packet.length - 2) === 0xfafa) {
		const c = counts.get(user) ?? { opened: 0, lost: 0, before: 0 };
		counts.set(user, c);
		if (out === packet) c.before++;
		else if (out === null) c.lost++;
		else c.opened++;
	}
	return out === packet && packet.length > 11 && packet.readUInt16BE(packet.length - 2) === 0xfafa ? null : out;
};

function listen(user) {
	if (!connection || open.has(user)) return;
	open.add(user);
	const stream = connection.receiver.subscribe(user, { end: { behavior: EndBehaviorType.Manual } });
	stream.on('data', (packet) => ear.packet(user, packet));
	stream.on('error', () => ear.of(user).bad++);
	// one packet that does not decrypt ends the stream; the user goes on talking
	stream.on('close', () => {
		open.delete(user);
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
		ear.clear();
		open.clear();
		counts.clear();
		connection?.destroy();
		connection = null;
	},
	async speak() {
		speaking = true;
		player.play(createAudioResource(Readable.from(speech(), { objectMode: true }), { inputType: StreamType.Opus }));
	},
	async hush() {
		speaking = false;
	},
	async heard({ tones }) {
		return {
			heard: ear.report(tones),
			status: connection?.state.status,
			speakers: [...(connection?.receiver.speaking.users.keys() ?? [])],
			known: [...(connection?.receiver.ssrcMap.map.values() ?? [])].map((v) => v.userId),
		};
	},
	async counts() {
		return { counts: Object.fromEntries(counts) };
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

serve(commands);
client.on(Events.Error, (e) => say({ event: 'error', what: String(e) }));
client.once(Events.ClientReady, () => say({ event: 'ready' }));
client.login(o.token).catch((e) => {
	process.stderr.write(String(e));
	process.exit(3);
});
