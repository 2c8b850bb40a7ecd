/* SPDX-License-Identifier: MIT
 *
 * http_worker.c - the thread that runs libcurl's multi interface.
 */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/http_internal.h"
#include "common/log.h"
#include "common/mutex.h"

#define IDLE_POLL_MS 86400000 /* nothing to do but to be woken */
#define BUSY_POLL_MS 1000

struct http_worker {
	struct loop *loop;
	char *user_agent;
	char *ca_file;
	int max_parallel;
	pthread_t thread;
	CURLM *multi;
	_Atomic bool stopping; /* written by the loop, read by the worker */
	pthread_mutex_t mutex; /* guards the two below */
	struct http_transfer *submitted, **submitted_last;
	/* Worker thread only. */
	struct http_transfer *waiting, **waiting_last;
	struct http_transfer *active;
	int active_count;
};

void http_transfer_free(struct http_transfer *t)
{
	if (t->easy)
		curl_easy_cleanup(t->easy);
	strbuf_free(&t->body);
	strbuf_free(&t->headers.text);
	http_call_unref(t->call);
	free(t);
}

/* ---- what libcurl calls -------------------------------------------------------------- */

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
	struct http_transfer *t = user;

	strbuf_add(&t->body, data, size * count);
	return t->body.error ? 0 : size * count;
}

/* One header line with its line break; a status line starts a new answer (after 100 Continue). */
static size_t on_header(char *data, size_t size, size_t count, void *user)
{
	struct http_transfer *t = user;
	struct http_headers *h = &t->headers;
	size_t len = size * count, all = len;
	const char *colon;

	if (len >= 5 && !memcmp(data, "HTTP/", 5)) {
		strbuf_reset(&h->text);
		h->count = 0;
		return all;
	}
	while (len && (data[len - 1] == '\n' || data[len - 1] == '\r' || data[len - 1] == ' ' ||
		       data[len - 1] == '\t'))
		len--;
	colon = memchr(data, ':', len);
	if (!colon)
		return all;
	if (h->count == HTTP_MAX_HEADERS) {
		h->text.error = -ENOSPC;
		return 0;
	}
	h->name_at[h->count] = h->text.len;
	strbuf_add(&h->text, data, (size_t)(colon - data));
	strbuf_char(&h->text, '\0');
	len -= (size_t)(colon + 1 - data);
	data += colon + 1 - data;
	while (len && (*data == ' ' || *data == '\t')) {
		data++;
		len--;
	}
	h->value_at[h->count] = h->text.len;
	strbuf_add(&h->text, data, len);
	strbuf_char(&h->text, '\0');
	if (h->text.error)
		return 0;
	h->count++;
	return all;
}

/* ---- one transfer -------------------------------------------------------------------- */

static bool set_up(struct http_worker *w, struct http_transfer *t)
{
	struct http_call *call = t->call;
	bool wants_body = !strcmp(call->method, "POST") || !strcmp(call->method, "PUT") ||
			  !strcmp(call->method, "PATCH");
	CURL *easy = curl_easy_init();
	CURLcode bad = CURLE_OK;

	if (!easy)
		return false;
	t->easy = easy;
#define SET(option, value)                                           \
	do {                                                         \
		if (!bad)                                            \
			bad = curl_easy_setopt(easy, option, value); \
	} while (0)
	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_ERRORBUFFER, t->curl_error);
	SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Else removing a transfer waits for its name look-up, half a minute with dead servers. */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
	SET(CURLOPT_URL, call->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY,
	    ""); /* no $https_proxy: it would see nothing but this, and not the voice */
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_USERAGENT, w->user_agent);
	SET(CURLOPT_HTTPHEADER, call->headers);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)call->connect_timeout_ms);
	SET(CURLOPT_TIMEOUT_MS, (long)call->total_timeout_ms);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	if (w->ca_file) {
		SET(CURLOPT_CAINFO, w->ca_file);
		SET(CURLOPT_CAPATH, NULL); /* Debian's default would stay in force beside it */
	}
	if (call->unix_path)
		SET(CURLOPT_UNIX_SOCKET_PATH, call->unix_path);
	if (call->userpwd) {
		SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		SET(CURLOPT_USERPWD, call->userpwd);
	}
	if (wants_body || call->body_len) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
		SET(CURLOPT_POSTFIELDS, call->body_len ? call->body : "");
	}
	SET(CURLOPT_CUSTOMREQUEST, call->method);
#undef SET
	return !bad;
}

static int error_of(CURLcode code, const struct http_transfer *t)
{
	if (t->body.error == -ENOSPC || t->headers.text.error == -ENOSPC)
		return -EMSGSIZE;
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return -EPROTO;
	default:
		return -EIO;
	}
}

static void complete(struct http_worker *w, struct http_transfer *t, CURLcode code)
{
	struct http_response *r = &t->response;
	long value = 0;

	r->retry_after_ms = -1;
	if (t->easy && curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &value) == CURLE_OK)
		r->sent = value > 0;
	if (code == CURLE_OK) {
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &value);
		r->status = (int)value;
	} else {
		r->error = error_of(code, t);
		t->hopeless = code == CURLE_PEER_FAILED_VERIFICATION ||
			      code == CURLE_SSL_CACERT_BADFILE || r->error == -EMSGSIZE;
		if (r->error == -EMSGSIZE)
			snprintf(r->error_text, sizeof(r->error_text), "the answer is too long");
		else
			snprintf(r->error_text, sizeof(r->error_text), "%.159s",
				 t->curl_error[0] ? t->curl_error : curl_easy_strerror(code));
		/* What came of a broken answer is no answer. */
		strbuf_reset(&t->body);
	}
	if (loop_post(w->loop, http_transfer_done, t) < 0) {
		log_error("out of memory: an HTTP answer is lost");
		http_transfer_free(t);
	}
}

static void unlink_active(struct http_worker *w, struct http_transfer *t)
{
	struct http_transfer **at = &w->active;

	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	w->active_count--;
	curl_multi_remove_handle(w->multi, t->easy);
}

/* ---- the thread ---------------------------------------------------------------------- */

static void take_submitted(struct http_worker *w)
{
	pthread_mutex_lock(&w->mutex);
	if (w->submitted) {
		*w->waiting_last = w->submitted;
		w->waiting_last = w->submitted_last;
		w->submitted = NULL;
		w->submitted_last = &w->submitted;
	}
	pthread_mutex_unlock(&w->mutex);
}

static void drop_cancelled(struct http_worker *w)
{
	struct http_transfer *t, *next, **at;

	for (t = w->active; t; t = next) {
		next = t->next;
		if (atomic_load(&t->call->cancelled)) {
			unlink_active(w, t);
			http_transfer_free(t);
		}
	}
	for (at = &w->waiting; *at;) {
		t = *at;
		if (atomic_load(&t->call->cancelled)) {
			*at = t->next;
			http_transfer_free(t);
		} else {
			at = &t->next;
		}
	}
	w->waiting_last = at;
}

static void start_waiting(struct http_worker *w)
{
	while (w->waiting && w->active_count < w->max_parallel) {
		struct http_transfer *t = w->waiting;

		w->waiting = t->next;
		if (!w->waiting)
			w->waiting_last = &w->waiting;
		if (!set_up(w, t) || curl_multi_add_handle(w->multi, t->easy) != CURLM_OK) {
			complete(w, t, CURLE_OUT_OF_MEMORY);
			continue;
		}
		t->next = w->active;
		w->active = t;
		w->active_count++;
	}
}

static void collect_done(struct http_worker *w)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(w->multi, &left))) {
		struct http_transfer *t = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		if (!t)
			continue;
		unlink_active(w, t);
		complete(w, t, code);
	}
}

static void *thread_main(void *arg)
{
	struct http_worker *w = arg;
	int running = 0;

	while (!atomic_load(&w->stopping)) {
		take_submitted(w);
		drop_cancelled(w);
		start_waiting(w);
		curl_multi_perform(w->multi, &running);
		collect_done(w);
		if (w->waiting && w->active_count < w->max_parallel)
			continue;
		curl_multi_poll(w->multi, NULL, 0, w->active_count ? BUSY_POLL_MS : IDLE_POLL_MS,
				NULL);
	}
	return NULL;
}

void http_worker_wake(struct http_worker *w)
{
	curl_multi_wakeup(w->multi);
}

void http_worker_submit(struct http_worker *w, struct http_transfer *t)
{
	pthread_mutex_lock(&w->mutex);
	t->next = NULL;
	*w->submitted_last = t;
	w->submitted_last = &t->next;
	pthread_mutex_unlock(&w->mutex);
	http_worker_wake(w);
}

static CURLcode global_result;

static void global_init(void)
{
	global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void worker_free(struct http_worker *w)
{
	if (w->multi)
		curl_multi_cleanup(w->multi);
	pthread_mutex_destroy(&w->mutex);
	free(w->user_agent);
	free(w->ca_file);
	free(w);
}

int http_worker_create(struct http_worker **out, struct loop *loop, const char *user_agent,
		       const char *ca_file, int max_parallel)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http_worker *w;
	sigset_t all, old;
	int err;

	*out = NULL;
	pthread_once(&once, global_init);
	if (global_result != CURLE_OK)
		return -ENOMEM;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	mutex_init(&w->mutex);
	w->loop = loop;
	w->max_parallel = max_parallel;
	w->submitted_last = &w->submitted;
	w->waiting_last = &w->waiting;
	w->multi = curl_multi_init();
	w->user_agent = strdup(user_agent);
	if (ca_file)
		w->ca_file = strdup(ca_file);
	if (!w->multi || !w->user_agent || (ca_file && !w->ca_file)) {
		worker_free(w);
		return -ENOMEM;
	}
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&w->thread, NULL, thread_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		worker_free(w);
		return err;
	}
	*out = w;
	return 0;
}

void http_worker_destroy(struct http_worker *w)
{
	atomic_store(&w->stopping, true);
	http_worker_wake(w);
	pthread_join(w->thread, NULL);
	take_submitted(w);
	while (w->active) {
		struct http_transfer *t = w->active;

		unlink_active(w, t);
		http_transfer_free(t);
	}
	while (w->waiting) {
		struct http_transfer *t = w->waiting;

		w->waiting = t->next;
		http_transfer_free(t);
	}
	worker_free(w);
}
