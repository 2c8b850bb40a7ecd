/* SPDX-License-Identifier: MIT
 *
 * test_small.c - the small things of common/: encodings, random numbers, strings, URLs, the ring.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>

#include "common/bytes.h"
#include "common/encode.h"
#include "common/random.h"
#include "common/spsc.h"
#include "common/strbuf.h"
#include "common/url.h"

/* RFC 4648 section 10 */
static void test_base64_rfc_vectors(void)
{
	static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
	static const char *const coded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
					    "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};

	for (size_t i = 0; i < 7; i++) {
		char text[16];
		uint8_t back[16];
		size_t len = strlen(plain[i]);

		CHECK_INT(base64_encode(text, (const uint8_t *)plain[i], len), BASE64_LEN(len));
		CHECK_STR(text, coded[i]);
		CHECK_INT(base64_decode(back, sizeof(back), text, strlen(text)), len);
		CHECK_MEM(back, plain[i], len);
	}
}

static void test_base64_is_strict(void)
{
	static const char *const bad[] = {"Zg",   "Zg=",    "Zg==Zg==", "Zh==", "Zm9=", "Z m=",
					  "====", "Zm9v\n", "Zm-v",     "=AAA", "A=AA"};
	uint8_t out[16];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_INT(base64_decode(out, sizeof(out), bad[i], strlen(bad[i])), -EINVAL);
	CHECK_INT(base64_decode(out, 2, "Zm9v", 4), -ENOSPC);
	CHECK_INT(base64_decode(out, 3, "Zm9v", 4), 3);
}

/* Every byte at every place of a group, the last and one before, against the alphabet itself. */
static void test_base64_alphabet(void)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (int byte = 0; byte < 256; byte++) {
		const char *found = byte ? strchr(alphabet, byte) : NULL;

		for (int place = 0; place < 8; place++) {
			char text[] = "AAAAAAAA";
			uint8_t out[6], want[6] = {0};
			/* padding is another matter, and allowed only at the very end */
			bool padding = byte == '=' && place == 7;

			text[place] = (char)byte;
			ssize_t n = base64_decode(out, sizeof(out), text, 8);
			if (!found && !padding) {
				CHECK_INT(n, -EINVAL);
				continue;
			}
			CHECK_INT(n, padding ? 5 : 6);
			uint32_t v = found ? (uint32_t)(found - alphabet) << (6 * (3 - place % 4)) : 0;
			for (int i = 0; i < 3; i++)
				want[place / 4 * 3 + i] = (uint8_t)(v >> (8 * (2 - i)));
			CHECK_MEM(out, want, (size_t)n);
		}
	}
}

static void test_base64url(void)
{
	static const uint8_t bytes[] = {0xfb, 0xff, 0xfe, 0x00};
	char text[16];

	CHECK_INT(base64url_encode(text, bytes, 4), 6);
	CHECK_STR(text, "-__-AA");
}

static void test_hex(void)
{
	static const uint8_t bytes[] = {0x00, 0x1f, 0xa0, 0xff};
	uint8_t back[4];
	char text[9];

	hex_encode(text, bytes, 4);
	CHECK_STR(text, "001fa0ff");
	CHECK(hex_decode(back, "001FA0ff", 4));
	CHECK_MEM(back, bytes, 4);
	CHECK(!hex_decode(back, "001g", 2));
	CHECK(!hex_decode(back, "0", 1));
}

static void test_url_encode(void)
{
	char out[32];

	CHECK_INT(url_encode(out, sizeof(out), "+1 a~\xc3\xa9", 7), 15);
	CHECK_STR(out, "%2B1%20a~%C3%A9");
	CHECK_INT(url_encode(out, 15, "+1 a~\xc3\xa9", 7), -ENOSPC);
	CHECK_INT(url_encode(out, 16, "+1 a~\xc3\xa9", 7), 15);
}

/* Boundaries of RFC 3629 section 4. */
static void test_utf8(void)
{
	static const char *const good[] = {"",
					   "a",
					   "\xc2\x80",
					   "\xdf\xbf",
					   "\xe0\xa0\x80",
					   "\xed\x9f\xbf",
					   "\xee\x80\x80",
					   "\xef\xbf\xbf",
					   "\xf0\x90\x80\x80",
					   "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {
		"\x80",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xc2",         "\xe2\x82",         "\xc2\x41",         "\xff"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CHECK(utf8_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!utf8_valid(bad[i], strlen(bad[i])));
}

static void test_bytes(void)
{
	uint8_t b[8];

	put_be64(b, UINT64_C(0x0102030405060708));
	CHECK_INT(b[0], 1);
	CHECK_INT(b[7], 8);
	CHECK_INT(get_be16(b), 0x0102);
	CHECK_INT(get_be32(b + 1), 0x02030405);
	CHECK(get_be64(b) == UINT64_C(0x0102030405060708));
	CHECK_INT(get_le16(b), 0x0201);
	CHECK_INT(get_le32(b), 0x04030201);
	put_le32(b, 0xa1b2c3d4);
	CHECK_INT(b[0], 0xd4);
	CHECK(get_le32(b) == 0xa1b2c3d4);
	put_le16(b, 0xbeef);
	CHECK_INT(get_le16(b), 0xbeef);
}

static void test_uuid_v4(void)
{
	char a[UUID_LEN + 1], b[UUID_LEN + 1];

	uuid_v4(a);
	uuid_v4(b);
	CHECK_INT(strlen(a), UUID_LEN);
	CHECK(strcmp(a, b) != 0);
	CHECK_INT(a[14], '4');
	CHECK(strchr("89ab", a[19]));
	CHECK(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
}

/* 6 sigma around the mean of an even distribution: wrong once in 5e8 runs. */
static void test_random_below_is_even(void)
{
	unsigned count[10] = {0};

	for (int i = 0; i < 100000; i++)
		count[random_below(10)]++;
	for (int i = 0; i < 10; i++)
		CHECK_NEAR(count[i], 10000, 6 * 95);
	CHECK_INT(random_below(0), 0);
	CHECK_INT(random_below(1), 0);
}

static void test_backoff_bounds(void)
{
	int top = 0;

	for (int i = 0; i < 2000; i++) {
		int d = backoff_full_jitter_ms(100, 3000, 2);

		CHECK(d >= 0 && d <= 400);
		top = d > top ? d : top;
	}
	CHECK(top > 300);
	for (int i = 0; i < 200; i++) {
		int d = backoff_full_jitter_ms(100, 3000, 4000000000u);

		CHECK(d >= 0 && d <= 3000);
	}
	CHECK_INT(backoff_full_jitter_ms(0, 10, 3), 0);
}

static void test_strbuf(void)
{
	struct strbuf b = STRBUF_INIT(10);
	char *text;

	CHECK_STR(strbuf_text(&b), "");
	strbuf_str(&b, "12345");
	strbuf_printf(&b, "%d", 67890);
	CHECK_INT(b.error, 0);
	CHECK_STR(strbuf_text(&b), "1234567890");
	strbuf_char(&b, 'x');
	CHECK_INT(b.error, -ENOSPC);
	CHECK_STR(strbuf_text(&b), "1234567890");
	strbuf_reset(&b);
	strbuf_str(&b, "again");
	text = strbuf_take(&b);
	CHECK_STR(text, "again");
	free(text);
	strbuf_add(&b, NULL, 0);
	text = strbuf_take(&b);
	CHECK_STR(text, "");
	free(text);
	for (int i = 0; i < 11; i++)
		strbuf_char(&b, 'y');
	CHECK(!strbuf_take(&b));
	strbuf_free(&b);
}

static void test_url_parts(void)
{
	const char *why = "";
	struct url u;

	CHECK_INT(url_parse(&u, "https://Discord.com/api/v10/", &why), 0);
	CHECK_STR(u.scheme, "https");
	CHECK_STR(u.host, "discord.com");
	CHECK_INT(u.port, 443);
	CHECK(!u.port_given && u.tls && !u.loopback && !u.ipv6);
	CHECK_STR(u.path, "/api/v10");
	CHECK_STR(u.query, "");
	CHECK_INT(url_parse(&u, "ws://[::1]:9000/?v=8", &why), 0);
	CHECK_STR(u.host, "::1");
	CHECK(u.ipv6 && u.loopback && !u.tls && u.port_given);
	CHECK_INT(u.port, 9000);
	CHECK_STR(u.path, "");
	CHECK_STR(u.query, "v=8");
	CHECK_INT(url_parse(&u, "wss://a.b?x", &why), 0);
	CHECK_STR(u.query, "x");
}

static void test_url_refused(void)
{
	static const char *const bad[] = {"",
					  "example.org",
					  "ftp://a",
					  "https://",
					  "https://:80",
					  "https://a:0",
					  "https://a:65536",
					  "https://a:8x",
					  "https://a:",
					  "https://user:pw@a/",
					  "https://a/#f",
					  "https://a b/",
					  "https://a\n/",
					  "https://[::1",
					  "https://[zz]/",
					  "https://[::1]x",
					  "https://a%00/"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = NULL;
		struct url u;

		CHECK_INT(url_parse(&u, bad[i], &why), -EINVAL);
		CHECK(why && *why);
	}
}

static void test_loopback_hosts(void)
{
	CHECK(host_is_loopback("localhost") && host_is_loopback("127.0.0.1"));
	CHECK(host_is_loopback("127.9.9.9") && host_is_loopback("::1"));
	CHECK(host_is_loopback("sim.localhost"));
	CHECK(!host_is_loopback("localhost.example.org") && !host_is_loopback("127.0.0.1.nip.io"));
	CHECK(!host_is_loopback("10.0.0.1") && !host_is_loopback("::2") && !host_is_loopback(""));
	CHECK(!host_is_loopback("127.1")); /* inet_aton spelling: not an address for us */
}

static void test_host_port(void)
{
	const char *why = "";
	struct host_port hp;

	CHECK_INT(host_port_parse(&hp, "127.0.0.1:8080", 0, &why), 0);
	CHECK_STR(hp.host, "127.0.0.1");
	CHECK_INT(hp.port, 8080);
	CHECK_INT(host_port_parse(&hp, "[::]:80", 0, &why), 0);
	CHECK_STR(hp.host, "::");
	CHECK_INT(host_port_parse(&hp, "voice.example", 443, &why), 0);
	CHECK_INT(hp.port, 443);
	CHECK_INT(host_port_parse(&hp, "voice.example", 0, &why), -EINVAL);
	CHECK_INT(host_port_parse(&hp, ":80", 0, &why), -EINVAL);
	CHECK_INT(host_port_parse(&hp, "::1:80", 0, &why), -EINVAL);
}

static void test_spsc_single(void)
{
	struct spsc *r;
	int v;

	CHECK_INT(spsc_create(&r, 0, 4), -EINVAL);
	CHECK_INT(spsc_create(&r, 3, sizeof(int)), 0);
	CHECK(!spsc_pop(r, &v));
	for (int i = 0; i < 4; i++)
		CHECK(spsc_push(r, &i));
	v = 9;
	CHECK(!spsc_push(r, &v));
	CHECK_INT(spsc_count(r), 4);
	for (int i = 0; i < 4; i++) {
		CHECK(spsc_pop(r, &v));
		CHECK_INT(v, i);
	}
	CHECK(!spsc_pop_begin(r));
	spsc_destroy(r);
}

#define SPSC_ROUNDS 200000

struct pair {
	uint64_t a, b; /* b = ~a: a torn element shows */
};

static void *spsc_producer(void *arg)
{
	for (uint64_t i = 0; i < SPSC_ROUNDS;) {
		struct pair p = {i, ~i};

		if (spsc_push(arg, &p))
			i++;
		else
			sched_yield();
	}
	return NULL;
}

static void test_spsc_threads(void)
{
	struct spsc *r;
	pthread_t thread;
	uint64_t bad = 0;

	CHECK_INT(spsc_create(&r, 64, sizeof(struct pair)), 0);
	CHECK_INT(pthread_create(&thread, NULL, spsc_producer, r), 0);
	for (uint64_t i = 0; i < SPSC_ROUNDS;) {
		struct pair p;

		if (!spsc_pop(r, &p)) {
			sched_yield();
			continue;
		}
		bad += p.a != i || p.b != ~i;
		i++;
	}
	pthread_join(thread, NULL);
	CHECK_INT(bad, 0);
	CHECK_INT(spsc_count(r), 0);
	spsc_destroy(r);
}

int main(void)
{
	UNIT(test_base64_rfc_vectors);
	UNIT(test_base64_is_strict);
	UNIT(test_base64_alphabet);
	UNIT(test_base64url);
	UNIT(test_hex);
	UNIT(test_url_encode);
	UNIT(test_utf8);
	UNIT(test_bytes);
	UNIT(test_uuid_v4);
	UNIT(test_random_below_is_even);
	UNIT(test_backoff_bounds);
	UNIT(test_strbuf);
	UNIT(test_url_parts);
	UNIT(test_url_refused);
	UNIT(test_loopback_hosts);
	UNIT(test_host_port);
	UNIT(test_spsc_single);
	UNIT(test_spsc_threads);
	return unit_done();
}
