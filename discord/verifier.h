/* SPDX-License-Identifier: MIT
 *
 * verifier.h - works out the verification codes of a DAVE session's members, one after the other and
 * in a thread of its own: each takes tens of milliseconds, and a commit that waits for so long costs
 * the frames of those who have followed it already.
 */
#ifndef DISCORD_VERIFIER_H
#define DISCORD_VERIFIER_H

struct dave_session;
struct verifier;

/* -ENOMEM. */
int verifier_create(struct verifier **out);
/* Waits for the code that is being worked out. Takes NULL. */
void verifier_destroy(struct verifier *v);

/* Control thread, now and then: hands a code that is ready to the session, begins the next. */
void verifier_tick(struct verifier *v, struct dave_session *session);

#endif
