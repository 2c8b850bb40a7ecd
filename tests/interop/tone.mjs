// SPDX-License-Identifier: MIT
// A tone as Opus, and how much of a tone is in what was heard.
import OpusScript from 'opusscript';

// All of opusscript's memory is one heap whose growth breaks what was made before, so everything that is
// needed is made before anything is used.

/** One second of a tone, a whole number of periods: encoded once, played round and round. */
export function tone(hz) {
	const frames = [];
	const encoder = new OpusScript(48000, 2, OpusScript.Application.AUDIO);
	for (let n = 0; n < 2 * 48000; n += 960) {
		const pcm = Buffer.alloc(960 * 4);
		for (let i = 0; i < 960; i++) {
			const v = Math.round(5826 * Math.sin((2 * Math.PI * hz * (n + i)) / 48000)); // -15 dBFS
			pcm.writeInt16LE(v, 4 * i);
			pcm.writeInt16LE(v, 4 * i + 2);
		}
		const frame = Buffer.from(encoder.encode(pcm, 960));
		if (n >= 48000) frames.push(frame);
	}
	encoder.delete();
	return frames;
}

const decoders = Array.from({ length: 8 }, () => new OpusScript(48000, 1));
const silence = Buffer.from([0xf8, 0xff, 0xfe]);

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

/** What is heard, by user: counts, and the last second of sound. */
export class Ear {
	constructor() {
		this.decoderOf = new Map();
		this.clear();
	}

	clear() {
		this.heard = new Map();
	}

	of(user) {
		if (!this.decoderOf.has(user)) this.decoderOf.set(user, decoders[this.decoderOf.size]);
		let h = this.heard.get(user);
		if (!h) {
			h = { packets: 0, silent: 0, bad: 0, decoder: this.decoderOf.get(user), pcm: [] };
			this.heard.set(user, h);
		}
		return h;
	}

	packet(user, packet) {
		const h = this.of(user);
		if (packet.equals(silence)) {
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
	}

	/** Of each user: packets since the last time asked, and the share of a tone in the last second. */
	report(tones) {
		const out = {};
		for (const [user, h] of this.heard) {
			const pcm = Int16Array.from(h.pcm.flatMap((a) => [...a]));
			out[user] = { packets: h.packets, silent: h.silent, bad: h.bad, share: share(pcm, tones?.[user] ?? 1000) };
			h.packets = h.silent = h.bad = 0;
		}
		return out;
	}
}
