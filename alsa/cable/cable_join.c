/* SPDX-License-Identifier: MIT
 *
 * cable_join.c - see cable_join.h
 */
#include "alsa/cable/cable_join.h"

#include <errno.h>

int cable_join_add(struct cable_join *j, struct cable *cable)
{
	if (j->n == CABLE_JOIN_MAX || (j->n > 0 && (cable_channels(cable) != 1 ||
						     cable_channels(j->cables[0]) != 1)))
		return -EINVAL;
	j->cables[j->n++] = cable;
	return 0;
}

void cable_join_close(struct cable_join *j)
{
	while (j->n > 0)
		cable_close(j->cables[--j->n]);
}

unsigned cable_join_channels(const struct cable_join *j)
{
	return j->n > 1 ? j->n : cable_channels(j->cables[0]);
}

int cable_join_check(const struct cable_join *j)
{
	int err = 0;

	for (unsigned i = 0; i < j->n && !err; i++)
		err = cable_check(j->cables[i]);
	return err;
}

int cable_join_claim(struct cable_join *j, int64_t now)
{
	int err = 0;

	for (unsigned i = 0; i < j->n && !err; i++)
		err = cable_claim(j->cables[i], now);
	return err;
}

int cable_join_start(struct cable_join *j, int64_t frame)
{
	int err = 0;

	for (unsigned i = 0; i < j->n && !err; i++)
		err = cable_start(j->cables[i], frame);
	return err;
}

int cable_join_write(struct cable_join *j, int64_t at, const int16_t *frames, size_t n)
{
	if (j->n == 1)
		return cable_write(j->cables[0], at, frames, n);
	while (n > 0) {
		size_t k = n < CABLE_JOIN_FRAMES ? n : CABLE_JOIN_FRAMES;

		for (unsigned c = 0; c < j->n; c++) {
			int err;

			for (size_t i = 0; i < k; i++)
				j->mono[i] = frames[i * j->n + c];
			err = cable_write(j->cables[c], at, j->mono, k);
			if (err)
				return err;
		}
		frames += k * j->n;
		at += (int64_t)k;
		n -= k;
	}
	return 0;
}

int64_t cable_join_ready(struct cable_join *j, int64_t now)
{
	int64_t least = now;

	for (unsigned i = 0; i < j->n && least >= 0; i++) {
		int64_t ready = cable_ready(j->cables[i], now);

		least = ready < least ? ready : least;
	}
	return least;
}

int cable_join_read(struct cable_join *j, int64_t frame, int16_t *out, size_t n)
{
	if (j->n == 1)
		return cable_read(j->cables[0], frame, out, n);
	while (n > 0) {
		size_t k = n < CABLE_JOIN_FRAMES ? n : CABLE_JOIN_FRAMES;

		for (unsigned c = 0; c < j->n; c++) {
			int err = cable_read(j->cables[c], frame, j->mono, k);

			if (err)
				return err;
			for (size_t i = 0; i < k; i++)
				out[i * j->n + c] = j->mono[i];
		}
		out += k * j->n;
		frame += (int64_t)k;
		n -= k;
	}
	return 0;
}

void cable_join_stop(struct cable_join *j, int64_t end)
{
	for (unsigned i = 0; i < j->n; i++)
		cable_stop(j->cables[i], end);
}
