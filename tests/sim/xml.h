/* SPDX-License-Identifier: MIT
 *
 * xml.h - a strict little XML reader, enough for TwiML.
 */
#ifndef TESTS_SIM_XML_H
#define TESTS_SIM_XML_H

#include <stddef.h>

struct sim_xml {
	char *name;
	char *text; /* character data directly inside, entities resolved, trimmed */
	struct sim_xml_attr {
		char *name, *value;
		struct sim_xml_attr *next;
	} *attrs;
	struct sim_xml *children, *next;
};

/* Parses a document into its root element. NULL if it is not well-formed: *error (static text)
 * says why. Destroy the root with sim_xml_destroy(). */
struct sim_xml *sim_xml_parse(const char *text, size_t len, const char **error);
void sim_xml_destroy(struct sim_xml *x);
/* An attribute's value or `otherwise`. */
const char *sim_xml_attr(const struct sim_xml *x, const char *name, const char *otherwise);

#endif
