// SPDX-License-Identifier: MIT
// DAVE over ts-mls, an MLS implementation that is related to neither ours nor davey's: what a member
// does with ops 4 and 21 to 31, and frames by node:crypto. Nothing of it is meant for anything but
// being the other side of a test. All of its methods but encrypt() and decrypt() return promises and
// must be called one after the other.
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { p256 } from '@noble/curves/nist.js';
import {
	createCommit,
	createGroup,
	decodeMlsMessage,
	emptyPskIndex,
	encodeMlsMessage,
	generateKeyPackageWithKey,
	getCiphersuiteFromName,
	getCiphersuiteImpl,
	joinGroup,
	mlsExporter,
	nobleCryptoProvider,
	processPublicMessage,
} from 'ts-mls';
import { processProposal } from 'ts-mls/clientState.js';
import { encodeKeyPackage } from 'ts-mls/keyPackage.js';
import { unprotectPublicMessage } from 'ts-mls/messageProtectionPublic.js';
import { decodeWelcome, encodeWelcome } from 'ts-mls/welcome.js';

const suite = 'MLS_128_DHKEMP256_AES128GCM_SHA256_P256';
const cs = await getCiphersuiteImpl(getCiphersuiteFromName(suite), nobleCryptoProvider);
const silence = Buffer.from([0xf8, 0xff, 0xfe]);
const lingerMs = 10000; // old keys, and plain frames after an upgrade
const u64 = (v) => {
	const b = Buffer.alloc(8);
	b.writeBigUInt64BE(BigInt(v));
	return b;
};
const le64 = (v) => Buffer.from(u64(v)).reverse();

/** opaque x<V> */
function vec(x) {
	const head = x.length < 64 ? [x.length] : [0x40 | (x.length >> 8), x.length & 255];
	return Buffer.concat([Buffer.from(head), x]);
}

/** Takes one vector off the front: [content, rest]. */
function take(b) {
	const kind = b[0] >> 6;
	if (kind === 3) throw new Error('no vector');
	const head = 1 << kind;
	let n = b[0] & 63;
	for (let i = 1; i < head; i++) n = n * 256 + b[i];
	if (b.length < head + n) throw new Error('vector too short');
	return [b.subarray(head, head + n), b.subarray(head + n)];
}

/** Key of generation 0: DeriveTreeSecret(base, "key", 0, 16). */
function mediaKey(base) {
	const info = Buffer.concat([Buffer.from([0, 16]), vec(Buffer.from('MLS 1.0 key')), vec(Buffer.alloc(4)), Buffer.from([1])]);
	return createHmac('sha256', base).update(info).digest().subarray(0, 16);
}

function iv(nonce) {
	const b = Buffer.alloc(12);
	b.writeUInt32LE(nonce, 8);
	return b;
}

export class TsDave {
	/** out: { binary(buffer), json(op, d), log(text) } */
	constructor(user, channel, out) {
		this.user = user;
		this.groupId = u64(channel);
		this.out = out;
		const signKey = p256.utils.randomSecretKey();
		// ts-mls's own key generation gives compressed points, which MLS does not know
		this.signature = { signKey, publicKey: p256.getPublicKey(signKey, false) };
		this.recognised = new Set([user]);
		this.version = 0;
		this.transitions = new Map(); // id: { version, send }
		this.receive = []; // newest first: { keys: user → key, until }
		this.send = null; // { key, counter }
		this.plainUntil = 0;
		this.stats = { commitsSent: 0, commitsWon: 0, commitsFollowed: 0, welcomes: 0, recoveries: 0, refused: 0 };
		this.last = '';
		this.clear();
	}

	clear() {
		this.pending = this.current = this.keyPackage = null;
		this.own = new Map(); // our commits of this epoch, hex: the state after
		this.epochSend = null;
	}

	/** A key package to be added by; sent unless told otherwise. */
	async begin(send = true) {
		this.clear();
		this.keyPackage = await generateKeyPackageWithKey(
			{ credentialType: 'basic', identity: new Uint8Array(u64(this.user)) },
			{ versions: ['mls10'], ciphersuites: [suite], extensions: [], proposals: [], credentials: ['basic'] },
			{ notBefore: 0n, notAfter: 2n ** 64n - 1n },
			[],
			this.signature,
			cs,
		);
		if (send) this.out.binary(Buffer.concat([Buffer.from([26]), encodeKeyPackage(this.keyPackage.publicPackage)]));
		if (this.externalSender) await this.makePending();
	}

	/** ts-mls takes the extension for one ExternalSender where RFC 9420 has a vector of them, so it is put
	 * in behind its back; the secrets of epoch 0 do not depend on it. */
	async makePending() {
		const { publicPackage, privatePackage } = this.keyPackage;
		const g = await createGroup(new Uint8Array(this.groupId), publicPackage, privatePackage, [], cs);
		this.pending = { ...g, groupContext: { ...g.groupContext, extensions: this.extensions() } };
	}

	extensions() {
		return [{ extensionType: 'external_senders', extensionData: new Uint8Array(vec(this.externalSender)) }];
	}

	async select(version) {
		this.version = version;
		this.send = null;
		if (version) await this.begin();
		else this.plainUntil = Infinity;
	}

	async prepareEpoch({ protocol_version, epoch }) {
		if (Number(epoch) !== 1) return;
		this.version = protocol_version;
		this.expire();
		if (protocol_version) await this.begin();
	}

	async prepareTransition({ protocol_version, transition_id }) {
		if (protocol_version === 0) this.plainUntil = Infinity;
		this.note(transition_id, protocol_version, null);
	}

	/** Transition 0 is executed at once, others are answered and wait for op 22. */
	note(id, version, send) {
		this.transitions.set(id, { version, send });
		if (id === 0) this.execute(0);
		else this.out.json(23, { transition_id: id });
	}

	execute(id) {
		const t = this.transitions.get(id);
		if (!t) return;
		this.transitions.delete(id);
		if (t.version === 0) {
			this.version = 0;
			this.clear();
			this.expire();
			this.send = null;
			return;
		}
		if (this.plainUntil === Infinity) this.plainUntil = Date.now() + lingerMs;
		this.version = t.version;
		this.send = t.send ?? this.epochSend;
	}

	expire() {
		const until = Date.now() + lingerMs;
		for (const r of this.receive) r.until = Math.min(r.until, until);
	}

	connect(ids) {
		for (const id of ids) this.recognised.add(id);
	}

	disconnect(id) {
		this.recognised.delete(id);
	}

	async binary(op, payload) {
		if (op === 25) return this.setExternalSender(payload);
		if (op === 27) return this.proposals(payload[0], payload.subarray(1));
		if (op !== 29 && op !== 30) return undefined;
		const id = payload.readUInt16BE(0), rest = payload.subarray(2);
		try {
			await (op === 29 ? this.commit(id, rest) : this.welcome(id, rest));
		} catch (e) {
			this.stats.recoveries++;
			this.out.log(`op ${op}: ${e}`);
			this.out.json(31, { transition_id: id });
			await this.begin();
		}
		return undefined;
	}

	async setExternalSender(payload) {
		this.externalSender = Buffer.from(payload);
		[this.senderKey] = take(this.externalSender);
		if (this.keyPackage && !this.current) await this.makePending();
	}

	base() {
		return this.pending ?? this.current;
	}

	setBase(state) {
		if (this.pending) this.pending = state;
		else this.current = state;
	}

	async proposals(operation, payload) {
		if (!this.base()) return;
		try {
			const [list, over] = take(payload);
			if (over.length) throw new Error('something behind the proposals');
			if (operation === 1) this.revoke(list);
			else this.setBase(await this.append(this.base(), list));
		} catch (e) {
			this.stats.refused++;
			this.out.log(`op 27: ${e}`);
			return;
		}
		await this.makeCommit();
	}

	revoke(list) {
		const cached = { ...this.base().unappliedProposals };
		while (list.length) {
			let ref;
			[ref, list] = take(list);
			delete cached[ref.toString('base64')];
		}
		this.setBase({ ...this.base(), unappliedProposals: cached });
	}

	async append(state, list) {
		while (list.length) {
			const [message, bytes] = decodeMlsMessage(new Uint8Array(list), 0);
			list = list.subarray(bytes);
			const { publicMessage: m } = message, { content } = m;
			if (m.senderType !== 'external' || content.contentType !== 'proposal') throw new Error('no external proposal');
			if (!this.groupId.equals(content.groupId) || content.epoch !== state.groupContext.epoch) throw new Error('of another group or epoch');
			const verified = await unprotectPublicMessage(undefined, state.groupContext, state.ratchetTree, m, cs, new Uint8Array(this.senderKey));
			const { proposal } = content;
			if (proposal.proposalType === 'add') {
				const user = Buffer.from(proposal.add.keyPackage.leafNode.credential.identity).readBigUInt64BE(0).toString();
				if (!this.recognised.has(user)) throw new Error(`user ${user} was not announced`);
			} else if (proposal.proposalType !== 'remove') {
				throw new Error(`a proposal to ${proposal.proposalType}`);
			}
			state = await processProposal(state, verified, proposal, cs.hash);
		}
		return state;
	}

	async makeCommit() {
		const state = this.base(), cached = Object.values(state.unappliedProposals);
		const own = state.privatePath.leafIndex;
		if (!cached.length || cached.some(({ proposal: p }) => p.proposalType === 'remove' && p.remove.removed === own)) return;
		const { commit, welcome, newState } = await createCommit(
			{ state, cipherSuite: cs },
			{ wireAsPublicMessage: true, ratchetTreeExtension: true },
		);
		const message = Buffer.from(encodeMlsMessage(commit));
		this.own.set(message.toString('hex'), newState);
		this.stats.commitsSent++;
		this.out.binary(Buffer.concat([Buffer.from([28]), message, welcome ? encodeWelcome(welcome) : Buffer.alloc(0)]));
	}

	async commit(id, bytes) {
		const own = this.own.get(bytes.toString('hex'));
		if (own) {
			this.stats.commitsWon++;
			return this.install(own, id);
		}
		if (!this.current) return undefined; // our Welcome follows
		const [message, length] = decodeMlsMessage(new Uint8Array(bytes), 0);
		if (length !== bytes.length) throw new Error('something behind the commit');
		const { newState } = await processPublicMessage(this.current, message.publicMessage, emptyPskIndex, cs);
		if (newState.groupActiveState.kind === 'removedFromGroup') {
			this.send = null;
			this.expire();
			return this.begin(false);
		}
		this.stats.commitsFollowed++;
		return this.install(newState, id);
	}

	async welcome(id, bytes) {
		if (!this.keyPackage || this.current) return undefined;
		const [welcome, length] = decodeWelcome(new Uint8Array(bytes), 0);
		if (length !== bytes.length) throw new Error('something behind the Welcome');
		const { publicPackage, privatePackage } = this.keyPackage;
		const state = await joinGroup(welcome, publicPackage, privatePackage, emptyPskIndex, cs);
		const [extension] = state.groupContext.extensions;
		if (!this.groupId.equals(state.groupContext.groupId)) throw new Error('a group of another channel');
		if (
			state.groupContext.extensions.length !== 1 ||
			extension.extensionType !== 'external_senders' ||
			!vec(this.externalSender).equals(extension.extensionData)
		)
			throw new Error('a group of another gateway');
		this.stats.welcomes++;
		return this.install(state, id);
	}

	async install(state, id) {
		const keys = new Map();
		for (const user of this.usersOf(state)) {
			const base = await mlsExporter(state.keySchedule.exporterSecret, 'Discord Secure Frames v0', new Uint8Array(le64(user)), 16, cs);
			keys.set(user, mediaKey(base));
		}
		this.clear();
		this.current = state;
		this.expire();
		this.receive.unshift({ keys, until: Infinity });
		this.receive.length = Math.min(this.receive.length, 8);
		this.epochSend = { key: keys.get(this.user), counter: 0 };
		this.note(id, this.version || 1, this.epochSend);
	}

	usersOf(state) {
		return state.ratchetTree
			.filter((n) => n?.nodeType === 'leaf')
			.map((n) => Buffer.from(n.leaf.credential.identity).readBigUInt64BE(0).toString());
	}

	get ready() {
		return Boolean(this.current);
	}

	get epoch() {
		return this.current ? Number(this.current.groupContext.epoch) : null;
	}

	get users() {
		return this.current ? this.usersOf(this.current) : [];
	}

	/** Thirty digits: six groups of five bytes, each modulo 100000. */
	get code() {
		if (!this.current) return '';
		const a = Buffer.from(this.current.keySchedule.epochAuthenticator);
		let code = '';
		for (let i = 0; i < 30; i += 5) code += String(a.readUIntBE(i, 5) % 100000).padStart(5, '0');
		return code;
	}

	/** A frame to send, or null: there is no key yet. */
	encrypt(opus) {
		if (this.version === 0) return opus;
		if (!this.send) return null;
		const nonce = ++this.send.counter, trailer = [];
		const c = createCipheriv('aes-128-gcm', this.send.key, iv(nonce), { authTagLength: 8 });
		const sealed = Buffer.concat([c.update(opus), c.final(), c.getAuthTag()]);
		for (let v = nonce; ; v = Math.floor(v / 128)) {
			trailer.push(v < 128 ? v : (v % 128) | 128);
			if (v < 128) break;
		}
		return Buffer.concat([sealed, Buffer.from([...trailer, 8 + trailer.length + 3, 0xfa, 0xfa])]);
	}

	/** The Opus packet; throws if there is none to be had. */
	decrypt(user, frame) {
		if (frame.equals(silence)) return frame;
		if (frame.length < 12 || frame.readUInt16BE(frame.length - 2) !== 0xfafa) {
			if (Date.now() < this.plainUntil) return frame;
			throw new Error('plain');
		}
		const size = frame[frame.length - 3], at = frame.length - size;
		let nonce = 0;
		for (let i = at + 8, shift = 1; ; i++, shift *= 128) {
			nonce += (frame[i] & 127) * shift;
			if (!(frame[i] & 128)) break;
		}
		this.receive = this.receive.filter((r) => r.until > Date.now());
		for (const { keys } of this.receive) {
			if (!keys.has(user)) continue;
			const d = createDecipheriv('aes-128-gcm', keys.get(user), iv(nonce), { authTagLength: 8 });
			d.setAuthTag(frame.subarray(at, at + 8));
			try {
				return Buffer.concat([d.update(frame.subarray(0, at)), d.final()]);
			} catch {
				// of another epoch, perhaps
			}
		}
		throw new Error('no key opens it');
	}
}
