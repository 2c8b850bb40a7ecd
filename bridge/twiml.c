/* SPDX-License-Identifier: MIT
 *
 * twiml.c - see twiml.h.
 */
#include "bridge/twiml.h"

#define DECLARATION "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"

void twiml_escape(struct strbuf *out, const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		switch (*c) {
		case '&':
			strbuf_str(out, "&amp;");
			break;
		case '<':
			strbuf_str(out, "&lt;");
			break;
		case '>':
			strbuf_str(out, "&gt;");
			break;
		case '"':
			strbuf_str(out, "&quot;");
			break;
		case '\'':
			strbuf_str(out, "&apos;");
			break;
		default:
			strbuf_char(out, *c < 0x20 && *c != '\t' && *c != '\n' && *c != '\r'
						 ? '?'
						 : (char)*c);
		}
	}
}

void twiml_connect(struct strbuf *out, const char *stream_url, const char *token,
		   const char *after_url)
{
	strbuf_str(out, DECLARATION "<Response><Connect><Stream url=\"");
	twiml_escape(out, stream_url);
	strbuf_str(out, "\"><Parameter name=\"token\" value=\"");
	twiml_escape(out, token);
	strbuf_str(out, "\"/></Stream></Connect><Pause length=\"1\"/><Redirect method=\"POST\">");
	twiml_escape(out, after_url);
	strbuf_str(out, "</Redirect></Response>");
}

void twiml_reject(struct strbuf *out, enum twiml_reject reason)
{
	strbuf_printf(out, DECLARATION "<Response><Reject reason=\"%s\"/></Response>",
		      reason == TWIML_REJECT_BUSY ? "busy" : "rejected");
}

void twiml_hangup(struct strbuf *out)
{
	strbuf_str(out, DECLARATION "<Response><Hangup/></Response>");
}
