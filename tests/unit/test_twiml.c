/* SPDX-License-Identifier: MIT
 *
 * test_twiml.c - the documents as Twilio's own library writes them, and escaping.
 */
#include "bridge/twiml.h"
#include "tests/unit/unit.h"

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"

static struct strbuf buf = STRBUF_INIT(TWIML_MAX_BYTES);

static const char *text(void)
{
	CHECK_INT(buf.error, 0);
	return strbuf_text(&buf);
}

static void test_reject_and_hangup(void)
{
	/* the first is vector "reject", byte for byte */
	strbuf_reset(&buf);
	twiml_reject(&buf, TWIML_REJECT_BUSY);
	CHECK_STR(text(), HEAD "<Response><Reject reason=\"busy\"/></Response>");
	strbuf_reset(&buf);
	twiml_reject(&buf, TWIML_REJECT_REJECTED);
	CHECK_STR(text(), HEAD "<Response><Reject reason=\"rejected\"/></Response>");
	strbuf_reset(&buf);
	twiml_hangup(&buf);
	CHECK_STR(text(), HEAD "<Response><Hangup/></Response>");
}

static void test_connect(void)
{
	strbuf_reset(&buf);
	twiml_connect(&buf, "wss://h.example/p/phone/ab12", "ab12", "https://h.example/p/voice/after");
	CHECK_STR(text(),
		  HEAD "<Response><Connect><Stream url=\"wss://h.example/p/phone/ab12\">"
		       "<Parameter name=\"token\" value=\"ab12\"/></Stream></Connect>"
		       "<Pause length=\"1\"/>"
		       "<Redirect method=\"POST\">https://h.example/p/voice/after</Redirect>"
		       "</Response>");
}

static void test_escape(void)
{
	strbuf_reset(&buf);
	twiml_escape(&buf, "922 & \"x\" <y> 'z' \303\251\t\001");
	CHECK_STR(text(), "922 &amp; &quot;x&quot; &lt;y&gt; &apos;z&apos; \303\251\t?");
	strbuf_reset(&buf);
	twiml_connect(&buf, "wss://h/\"><Hangup/>", "&", "https://h/a?b=1&c=2");
	CHECK(strstr(text(), "<Hangup/>") == NULL);
	CHECK(strstr(text(), "value=\"&amp;\"") != NULL);
	CHECK(strstr(text(), ">https://h/a?b=1&amp;c=2<") != NULL);
}

int main(void)
{
	UNIT(test_reject_and_hangup);
	UNIT(test_connect);
	UNIT(test_escape);
	strbuf_free(&buf);
	return unit_done();
}
