/* SPDX-License-Identifier: MIT
 *
 * cable_file.h - layout of a cable's file, and how it comes to be. Private to alsa/cable/.
 *
 * Offsets in bytes, integers native (a cable never leaves its machine):
 *
 *	0     struct cable_header
 *	1024  struct cable_record [CABLE_SLOTS]
 *	4096  int16_t [CABLE_SLOTS][CABLE_RING_FRAMES][channels]
 *
 * Any change of this needs another version, which is also part of the file's name (".v1"), so that
 * programs of two versions never meet in one file.
 */
#ifndef ALSA_CABLE_CABLE_FILE_H
#define ALSA_CABLE_CABLE_FILE_H

#include "alsa/cable/cable.h"

#define CABLE_MAGIC        "loopcbl" /* eight bytes with its NUL */
#define CABLE_VERSION      1
#define CABLE_TABLE_OFFSET 1024
#define CABLE_HEADER_BYTES 4096

struct cable_header {
	char magic[8];
	uint32_t version;
	uint32_t rate;
	uint32_t channels;
	uint32_t slots;
	uint32_t ring_frames;
};

/* Written by the owner of the slot (whole, by one pwrite), read by everybody. */
struct cable_record {
	uint64_t generation; /* another one for each stream */
	int64_t start;       /* cable frame of stream frame 0; INT64_MIN before it has started */
	int64_t written;     /* stream frames published */
	int64_t end;         /* stream frames that count, if less than written */
	uint64_t check;
};

/* Size of a whole file. */
off_t cable_file_bytes(unsigned channels);

/* The work behind cable_open(): opens, checks, and creates where it may. *lock_fd only for
 * CABLE_WRITE. On error nothing is left open. */
int cable_file_open(const struct cable_spec *spec, enum cable_mode mode, int *fd, int *lock_fd,
		    unsigned *channels, char *why, size_t why_size);

#endif
