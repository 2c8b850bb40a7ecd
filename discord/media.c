/* SPDX-License-Identifier: MIT
 *
 * media.c - see media.h.
 */
#include "discord/media.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alsa/port.h"
#include "common/arrival.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/spsc.h"

#define COMMANDS         1024
#define EVENTS           1024
#define REALTIME_RANK    20
#define STACK_BYTES      (512 * 1024)
#define TIMER_SLACK_NS   20000 /* things due this soon are done in the same wake */
/* Each line has frames to send at times of its own. With many lines they share wakes on a grid, which
 * costs a frame half a step. */
#define MANY_LINES       8
#define WAKE_GRID_NS     NS_PER_MS

enum command_type { CMD_DECODER, CMD_PATH, CMD_KEY, CMD_SPEAKER, CMD_LEFT, CMD_CALLS, CMD_QUIT };

struct command {
	enum command_type type;
	int slot;
	unsigned number; /* generation, calls */
	uint32_t ssrc;
	bool ignored;
	uint64_t user_id;
	void *object;
};

enum event_type { EV_DISCOVERED, EV_DISCOVERY_FAILED, EV_DEAD, EV_FREE_PATH, EV_FREE_KEY,
		  EV_FREE_DECODER };

struct event {
	enum event_type type;
	int slot;
	unsigned generation;
	enum voice_dead why;
	uint16_t port;
	char address[IP_DISCOVERY_ADDRESS_BYTES];
	void *object;
};

struct slot {
	struct media *media;
	int index;
	int line;
	struct media_line *sound;
	struct port *playback;
	int speech_level_dbov;
	/* Control thread: who has been announced in this session, and how many decoders were made. */
	struct {
		uint64_t user_id;
		uint32_t ssrc;
	} announced[MEDIA_SPEAKERS];
	int announced_count, decoder_count;
	unsigned channels; /* of decoders that are made now */
	int outdated;      /* decoders that have the other number */
};

struct media {
	struct loop *loop;
	struct media_events events;
	struct slot slots[MEDIA_LINES_MAX];
	int slot_count;

	struct spsc *to_audio, *to_control;
	int wake_audio, wake_control; /* eventfds */
	int sockets; /* epoll set of the lines' UDP sockets */
	struct arrival_clock arrivals; /* audio thread's */
	struct loop_watch *watch;
	pthread_t thread;
	bool running, realtime;
	_Atomic uint32_t pings;   /* written by control, read by audio */
	_Atomic uint32_t answers; /* written by audio, read by control */
	_Atomic uint64_t events_lost; /* written by audio, read by control */
	struct budget_stage work;     /* written by audio, read by control */
	int64_t woken_ns;             /* audio thread */
};

/* ---- audio thread ------------------------------------------------------------------------ */

static void wake(int fd)
{
	uint64_t one = 1;
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void drain(int fd)
{
	uint64_t count;
	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* The ring cannot be full in practice: an event answers a command or a session's rare turn. */
static void event_send(struct media *m, const struct event *event)
{
	if (spsc_push(m->to_control, event))
		wake(m->wake_control);
	else
		m->events_lost++;
}

static void on_discovered(void *ctx, unsigned generation, const char *address, uint16_t port)
{
	struct slot *s = ctx;
	struct event e = {.type = EV_DISCOVERED, .slot = s->index, .generation = generation,
			  .port = port};
	strncpy(e.address, address, sizeof(e.address) - 1);
	event_send(s->media, &e);
}

static void on_discovery_failed(void *ctx, unsigned generation)
{
	struct slot *s = ctx;
	event_send(s->media, &(struct event){.type = EV_DISCOVERY_FAILED, .slot = s->index,
					     .generation = generation});
}

static void on_dead(void *ctx, unsigned generation, enum voice_dead why)
{
	struct slot *s = ctx;
	event_send(s->media, &(struct event){.type = EV_DEAD, .slot = s->index,
					     .generation = generation, .why = why});
}

static void on_sent(void *ctx)
{
	struct slot *s = ctx;
	budget_stamp(&s->media->work, clock_mono_ns() - s->media->woken_ns);
}

static const struct voice_udp_ops line_ops = {
	.on_discovered = on_discovered,
	.on_discovery_failed = on_discovery_failed,
	.on_dead = on_dead,
};

static void give_back(struct media *m, enum event_type type, void *object)
{
	if (object)
		event_send(m, &(struct event){.type = type, .object = object});
}

static void path_give_back(struct media *m, struct voice_udp *old)
{
	if (old)
		epoll_ctl(m->sockets, EPOLL_CTL_DEL, voice_udp_fd(old), NULL);
	give_back(m, EV_FREE_PATH, old);
}

/* Returns false at the end. */
static bool command_run(struct media *m, const struct command *c, int64_t now_ns)
{
	struct media_line *l = m->slots[c->slot].sound;
	switch (c->type) {
	case CMD_DECODER:
		give_back(m, EV_FREE_DECODER, media_line_decoder(l, c->object));
		break;
	case CMD_PATH:
		path_give_back(m, media_line_path(l, c->object, now_ns));
		break;
	case CMD_KEY:
		give_back(m, EV_FREE_KEY, media_line_key(l, c->number, c->object, now_ns));
		break;
	case CMD_SPEAKER:
		media_line_speaker(l, c->user_id, c->ssrc, c->ignored, now_ns);
		break;
	case CMD_LEFT:
		media_line_left(l, c->user_id, now_ns);
		break;
	case CMD_CALLS:
		media_line_calls(l, c->number, now_ns);
		break;
	case CMD_QUIT:
		return false;
	}
	return true;
}

static bool commands_run(struct media *m, int64_t now_ns)
{
	struct command c;
	while (spsc_pop(m->to_audio, &c))
		if (!command_run(m, &c, now_ns))
			return false;
	return true;
}

static void sockets_read(struct media *m, int64_t now_ns, int64_t wall_ns)
{
	struct epoll_event events[MEDIA_LINES_MAX];
	int n = epoll_wait(m->sockets, events, MEDIA_LINES_MAX, 0);
	for (int i = 0; i < n; i++)
		media_line_receive(events[i].data.ptr, now_ns, wall_ns);
}

/*
 * Packets do not wake the thread while blocks do: a packet is not heard before the next block, each
 * of which begins with reading the sockets, and the kernel notes when it came. With many lines that
 * is most of all wakes.
 */
static void *audio_thread(void *arg)
{
	struct media *m = arg;
	int64_t next_ns = INT64_MAX;
	bool blocks = false;
	for (;;) {
		int64_t now_ns = clock_mono_ns(), wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
		struct timespec wait = {wait_ns / NS_PER_SEC, wait_ns % NS_PER_SEC};
		struct pollfd fds[2] = {{.fd = m->wake_audio, .events = POLLIN},
					{.fd = m->sockets, .events = POLLIN}};
		/* ppoll() and no timerfd: that would be two more system calls for each block */
		if (ppoll(fds, blocks ? 1 : 2, next_ns == INT64_MAX ? NULL : &wait, NULL) < 0) {
			if (errno != EINTR)
				usleep(1000); /* out of memory in the kernel: no busy loop */
			continue;
		}
		now_ns = m->woken_ns = clock_mono_ns();
		int64_t wall_ns = arrival_wall_ns(&m->arrivals, now_ns);
		if (fds[0].revents) {
			drain(m->wake_audio);
			if (m->answers != m->pings)
				for (int i = 0; i < m->slot_count; i++)
					media_line_check(m->slots[i].sound, now_ns);
			m->answers = m->pings;
			if (!commands_run(m, now_ns))
				return NULL;
		}
		if (blocks || fds[1].revents)
			sockets_read(m, now_ns, wall_ns);
		next_ns = INT64_MAX;
		blocks = false;
		int busy = 0;
		for (int i = 0; i < m->slot_count; i++) {
			struct media_line *l = m->slots[i].sound;
			int64_t at_ns = media_line_step(l, now_ns + TIMER_SLACK_NS);
			if (at_ns < next_ns)
				next_ns = at_ns;
			blocks = blocks || media_line_stats(l)->playing;
			busy += media_line_stats(l)->capturing;
		}
		if (busy > MANY_LINES && next_ns != INT64_MAX)
			next_ns = (next_ns + WAKE_GRID_NS - 1) / WAKE_GRID_NS * WAKE_GRID_NS;
	}
}

/* ---- control thread ---------------------------------------------------------------------- */

static void event_run(struct media *m, const struct event *e)
{
	int line = m->slots[e->slot].line;
	switch (e->type) {
	case EV_DISCOVERED:
		m->events.on_discovered(m->events.ctx, line, e->generation, e->address, e->port);
		break;
	case EV_DISCOVERY_FAILED:
		m->events.on_discovered(m->events.ctx, line, e->generation, NULL, 0);
		break;
	case EV_DEAD:
		m->events.on_dead(m->events.ctx, line, e->generation, e->why);
		break;
	case EV_FREE_PATH:
		voice_udp_destroy(e->object);
		break;
	case EV_FREE_KEY:
		transport_cipher_destroy(e->object);
		break;
	case EV_FREE_DECODER:
		speaker_destroy(e->object);
		break;
	}
}

static void on_wake(void *arg, uint32_t events)
{
	struct media *m = arg;
	struct event e;
	(void)events;
	drain(m->wake_control);
	while (spsc_pop(m->to_control, &e))
		event_run(m, &e);
}

int media_create(struct media **out, struct loop *loop, const struct media_events *events)
{
	struct media *m = calloc(1, sizeof(*m));
	*out = NULL;
	if (!m)
		return -ENOMEM;
	m->loop = loop;
	m->events = *events;
	m->wake_audio = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	m->wake_control = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	m->sockets = epoll_create1(EPOLL_CLOEXEC);
	int err = m->wake_audio < 0 || m->wake_control < 0 || m->sockets < 0 ? -errno : 0;
	if (err == 0)
		err = spsc_create(&m->to_audio, COMMANDS, sizeof(struct command));
	if (err == 0)
		err = spsc_create(&m->to_control, EVENTS, sizeof(struct event));
	if (err == 0)
		err = loop_watch_add(loop, &m->watch, m->wake_control, EPOLLIN, on_wake, m);
	if (err < 0) {
		media_destroy(m);
		return err;
	}
	*out = m;
	return 0;
}

int media_line_add(struct media *m, int line, struct port *capture, struct port *playback,
		   struct dave_media *dave, bool fec, int speech_level_dbov)
{
	if (m->running || m->slot_count == MEDIA_LINES_MAX)
		return -EBUSY;
	struct slot *s = &m->slots[m->slot_count];
	*s = (struct slot){.media = m, .index = m->slot_count, .line = line, .playback = playback, .channels = 1,
			   .speech_level_dbov = speech_level_dbov};
	struct media_line_config config = {.capture = capture, .playback = playback, .dave = dave,
					   .fec = fec, .ops = &line_ops, .on_sent = on_sent, .ctx = s};
	int err = media_line_create(&s->sound, &config);
	if (err == 0)
		m->slot_count++;
	return err;
}

static int thread_make(struct media *m, bool realtime)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (realtime) {
		struct sched_param rank = {.sched_priority = REALTIME_RANK};
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		pthread_attr_setschedparam(&attr, &rank);
	}
	sigfillset(&all); /* signals are the control thread's affair */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = pthread_create(&m->thread, &attr, audio_thread, m);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

int media_start(struct media *m)
{
	m->realtime = true;
	int err = thread_make(m, true);
	if (err == -EPERM || err == -EINVAL) {
		m->realtime = false;
		err = thread_make(m, false);
	}
	m->running = err == 0;
	if (m->running)
		pthread_setname_np(m->thread, "audio");
	return err;
}

static struct slot *slot_find(const struct media *m, int line)
{
	for (int i = 0; i < m->slot_count; i++)
		if (m->slots[i].line == line)
			return (struct slot *)&m->slots[i];
	return NULL;
}

/* The audio thread empties the ring within one wake; a full one means it is late, and what must not
 * be lost is waited for. */
static bool command_send(struct media *m, const struct command *c, bool must)
{
	for (int i = 0; !spsc_push(m->to_audio, c); i++) {
		if (!must || i == 200)
			return false;
		wake(m->wake_audio);
		usleep(500);
	}
	wake(m->wake_audio);
	return true;
}

void media_destroy(struct media *m)
{
	if (!m)
		return;
	if (m->running) {
		command_send(m, &(struct command){.type = CMD_QUIT}, true);
		pthread_join(m->thread, NULL);
	}
	loop_watch_remove(m->watch);
	struct event e;
	while (m->to_control && spsc_pop(m->to_control, &e))
		if (e.type >= EV_FREE_PATH)
			event_run(m, &e);
	for (int i = 0; i < m->slot_count; i++)
		media_line_destroy(m->slots[i].sound);
	spsc_destroy(m->to_audio);
	spsc_destroy(m->to_control);
	if (m->wake_audio >= 0)
		close(m->wake_audio);
	if (m->wake_control >= 0)
		close(m->wake_control);
	if (m->sockets >= 0)
		close(m->sockets);
	free(m);
}

int media_path(struct media *m, int line, struct voice_udp *path)
{
	struct slot *s = slot_find(m, line);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = s->sound};
	s->announced_count = 0;
	if (path && epoll_ctl(m->sockets, EPOLL_CTL_ADD, voice_udp_fd(path), &event) < 0) {
		int err = -errno;
		voice_udp_destroy(path);
		return err;
	}
	if (!command_send(m, &(struct command){.type = CMD_PATH, .slot = s->index, .object = path},
			  true)) {
		voice_udp_destroy(path);
		return -EBUSY;
	}
	return 0;
}

void media_key(struct media *m, int line, unsigned generation, struct transport_cipher *cipher)
{
	struct slot *s = slot_find(m, line);
	if (!command_send(m, &(struct command){.type = CMD_KEY, .slot = s->index,
					       .number = generation, .object = cipher}, true))
		transport_cipher_destroy(cipher);
}

static bool decoder_make(struct media *m, struct slot *s)
{
	struct speaker *decoder;
	struct speaker_config config = {.channels = s->channels,
					.speech_level_dbov = s->speech_level_dbov};
	if (speaker_create(&decoder, &config) < 0) {
		static struct log_rate rate;
		log_rated(&rate, 10000, LOG_LEVEL_ERROR,
			  "out of memory: one voice more cannot be heard line=%d", s->line);
		return false;
	}
	if (command_send(m, &(struct command){.type = CMD_DECODER, .slot = s->index,
					      .object = decoder}, true))
		return true;
	speaker_destroy(decoder);
	return false;
}

/* A port that was never open has no channels; one that has gone keeps what it had. */
static void channels_follow(struct media *m, struct slot *s)
{
	unsigned channels = port_channels(s->playback) == 2 ? 2 : 1;
	if (channels != s->channels) {
		s->channels = channels;
		s->outdated = s->decoder_count - s->outdated;
	}
	while (s->outdated > 0 && decoder_make(m, s))
		s->outdated--;
}

void media_port_tended(struct media *m, int line)
{
	channels_follow(m, slot_find(m, line));
}

/* Decoders are made as people turn up, on the control thread, and stay with the line for as long as it
 * has as many channels. */
static void decoders_provide(struct media *m, struct slot *s, uint64_t user_id, uint32_t ssrc)
{
	for (int i = 0; i < s->announced_count; i++)
		if (s->announced[i].ssrc == ssrc && s->announced[i].user_id == user_id)
			return;
	if (s->announced_count == MEDIA_SPEAKERS)
		return;
	s->announced[s->announced_count].user_id = user_id;
	s->announced[s->announced_count++].ssrc = ssrc;
	if (s->announced_count <= s->decoder_count)
		return;
	channels_follow(m, s);
	if (s->outdated == 0 && decoder_make(m, s)) /* else it would take the place of one */
		s->decoder_count++;
}

void media_speaker(struct media *m, int line, uint64_t user_id, uint32_t ssrc, bool ignored)
{
	static struct log_rate rate;
	struct slot *s = slot_find(m, line);
	if (!ignored)
		decoders_provide(m, s, user_id, ssrc);
	if (!command_send(m, &(struct command){.type = CMD_SPEAKER, .slot = s->index,
					       .user_id = user_id, .ssrc = ssrc,
					       .ignored = ignored}, false))
		log_rated(&rate, 10000, LOG_LEVEL_WARN, "too many speaker announcements line=%d",
			  line);
}

void media_left(struct media *m, int line, uint64_t user_id)
{
	struct slot *s = slot_find(m, line);
	for (int i = s->announced_count; i-- > 0;)
		if (s->announced[i].user_id == user_id)
			s->announced[i] = s->announced[--s->announced_count];
	command_send(m, &(struct command){.type = CMD_LEFT, .slot = s->index, .user_id = user_id},
		     false);
}

void media_calls(struct media *m, int line, unsigned calls)
{
	command_send(m, &(struct command){.type = CMD_CALLS, .slot = slot_find(m, line)->index,
					  .number = calls}, true);
}

bool media_ping(struct media *m)
{
	bool answered = m->answers == m->pings;
	m->pings++;
	wake(m->wake_audio);
	return answered;
}

const struct media_line_stats *media_stats(const struct media *m, int line)
{
	const struct slot *s = slot_find(m, line);
	return s ? media_line_stats(s->sound) : NULL;
}

int64_t media_work_ns(const struct media *m)
{
	return budget_ns(&m->work);
}

bool media_is_realtime(const struct media *m)
{
	return m->realtime;
}
