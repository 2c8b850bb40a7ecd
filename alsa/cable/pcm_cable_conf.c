/* SPDX-License-Identifier: MIT
 *
 * pcm_cable_conf.c - reads the definition of a PCM of `type cable` and opens its cables.
 */
#include "alsa/cable/pcm_cable_conf.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct definition {
	const char *dir, *group;
	const char *names[CABLE_JOIN_MAX];
	unsigned n_names;
	long line, channels, perm;
	bool create;
};

/* `names [ a b … ]`: several cables of one channel each, as one PCM. */
static int read_names(struct definition *d, snd_config_t *list)
{
	snd_config_iterator_t i, next;

	if (snd_config_get_type(list) != SND_CONFIG_TYPE_COMPOUND)
		return -EINVAL;
	d->n_names = 0;
	snd_config_for_each(i, next, list) {
		if (d->n_names == CABLE_JOIN_MAX ||
		    snd_config_get_string(snd_config_iterator_entry(i), &d->names[d->n_names]) < 0)
			return -EINVAL;
		d->n_names++;
	}
	return d->n_names >= 2 ? 0 : -EINVAL;
}

static int read_definition(struct definition *d, snd_config_t *conf)
{
	snd_config_iterator_t i, next;

	*d = (struct definition){.perm = 0660};
	snd_config_for_each(i, next, conf) {
		snd_config_t *node = snd_config_iterator_entry(i);
		const char *key;
		int err = 0;

		if (snd_config_get_id(node, &key) < 0 || !strcmp(key, "comment") ||
		    !strcmp(key, "type") || !strcmp(key, "hint"))
			continue;
		if (!strcmp(key, "dir")) {
			err = snd_config_get_string(node, &d->dir);
		} else if (!strcmp(key, "name")) {
			err = snd_config_get_string(node, &d->names[0]);
			d->n_names = 1;
		} else if (!strcmp(key, "names")) {
			err = read_names(d, node);
		} else if (!strcmp(key, "group")) {
			err = snd_config_get_string(node, &d->group);
		} else if (!strcmp(key, "line")) {
			err = snd_config_get_integer(node, &d->line);
		} else if (!strcmp(key, "channels")) {
			err = snd_config_get_integer(node, &d->channels);
		} else if (!strcmp(key, "perm")) {
			err = snd_config_get_integer(node, &d->perm);
		} else if (!strcmp(key, "create")) {
			err = snd_config_get_bool(node);
			d->create = err > 0;
		} else {
			SNDERR("cable: unknown field %s", key);
			return -EINVAL;
		}
		if (err < 0) {
			SNDERR("cable: field %s has a wrong value", key);
			return -EINVAL;
		}
	}
	if (!d->dir || d->dir[0] != '/' || !d->n_names) {
		SNDERR("cable: a definition needs dir (an absolute path) and name");
		return -EINVAL;
	}
	if (d->channels < 0 || d->channels > CABLE_CHANNELS_MAX) {
		SNDERR("cable: channels is %ld, not 1 or 2 (or 0 for what is there)", d->channels);
		return -EINVAL;
	}
	if (d->perm < 0 || d->perm > 0666 || (d->perm & ~0666L)) {
		SNDERR("cable: perm is 0%lo; read and write bits only", (unsigned long)d->perm);
		return -EINVAL;
	}
	return 0;
}

static int find_group(const char *name, gid_t *gid)
{
	struct group grp, *found = NULL;
	char buf[4096], *end;
	unsigned long n;

	*gid = (gid_t)-1;
	if (!name || !*name)
		return 0;
	n = strtoul(name, &end, 10);
	if (!*end) {
		*gid = (gid_t)n;
		return 0;
	}
	if (getgrnam_r(name, &grp, buf, sizeof(buf), &found) != 0 || !found) {
		SNDERR("cable: there is no group %s", name);
		return -EINVAL;
	}
	*gid = grp.gr_gid;
	return 0;
}

static int open_one(struct cable **out, const struct definition *d, const char *name, gid_t group,
		    snd_pcm_stream_t stream)
{
	enum cable_mode mode = stream == SND_PCM_STREAM_PLAYBACK ? CABLE_WRITE : CABLE_READ;
	char path[CABLE_PATH_MAX], why[CABLE_PATH_MAX + 128];
	struct cable_spec spec = {
		.path = path,
		.channels = (unsigned)d->channels,
		.create = d->create,
		.perm = (mode_t)d->perm,
		.group = group,
	};
	int err = cable_path(path, sizeof(path), d->dir, name, d->line);

	if (err < 0) {
		SNDERR("cable: name '%s' and line %ld make no file name in %s", name, d->line,
		       d->dir);
		return err;
	}
	err = cable_open(out, &spec, mode, why, sizeof(why));
	if (err < 0)
		SNDERR("cable: %s", why);
	return err;
}

int cable_pcm_open(struct cable_join *out, snd_config_t *conf, snd_pcm_stream_t stream)
{
	gid_t group = (gid_t)-1;
	struct definition def;
	int err;

	err = read_definition(&def, conf);
	if (err >= 0 && def.create)
		err = find_group(def.group, &group);
	for (unsigned i = 0; err >= 0 && i < def.n_names; i++) {
		struct cable *cable;

		err = open_one(&cable, &def, def.names[i], group, stream);
		if (err < 0)
			break;
		err = cable_join_add(out, cable);
		if (err < 0) {
			SNDERR("cable: only cables of one channel can be joined, and %s is not, "
			       "or is among others that are not",
			       def.names[i]);
			cable_close(cable);
		}
	}
	if (err < 0)
		cable_join_close(out);
	return err < 0 ? err : 0;
}
