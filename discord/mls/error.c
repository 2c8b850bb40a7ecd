/* SPDX-License-Identifier: MIT
 *
 * error.c - the names of the errors.
 */
#include "discord/mls/mls.h"

const char *mls_error_text(int error)
{
	switch (error) {
	case MLS_OK:
		return "no error";
	case MLS_ERROR_PARSE:
		return "message is not well-formed";
	case MLS_ERROR_UNSUPPORTED:
		return "message uses what this group does not support";
	case MLS_ERROR_LIMIT:
		return "message, tree or proposal list is larger than allowed";
	case MLS_ERROR_NOMEM:
		return "out of memory";
	case MLS_ERROR_INTERNAL:
		return "the cryptographic library failed";
	case MLS_ERROR_SIGNATURE:
		return "a signature does not verify";
	case MLS_ERROR_MEMBERSHIP_TAG:
		return "the membership tag does not verify";
	case MLS_ERROR_CONFIRMATION_TAG:
		return "the confirmation tag does not verify";
	case MLS_ERROR_WRONG_EPOCH:
		return "message is for another epoch";
	case MLS_ERROR_WRONG_GROUP:
		return "message is for another group";
	case MLS_ERROR_WRONG_SENDER:
		return "the sender may not send this";
	case MLS_ERROR_UNKNOWN_PROPOSAL:
		return "a referenced proposal is not known";
	case MLS_ERROR_PROPOSAL_LIST:
		return "the proposals may not be committed together";
	case MLS_ERROR_KEY_PACKAGE:
		return "a key package or leaf breaks the rules";
	case MLS_ERROR_KEY:
		return "a key is not valid";
	case MLS_ERROR_DUPLICATE:
		return "an identity or key appears twice in the group";
	case MLS_ERROR_TREE:
		return "the ratchet tree is not valid";
	case MLS_ERROR_DECRYPT:
		return "a ciphertext does not open";
	case MLS_ERROR_NOT_FOR_US:
		return "the Welcome is not for our key package";
	case MLS_ERROR_PSK:
		return "a pre-shared key is missing";
	case MLS_ERROR_OWN_COMMIT:
		return "the commit is our own";
	case MLS_ERROR_REMOVED:
		return "the commit removes us from the group";
	case MLS_ERROR_REFUSED:
		return "the application refused a proposal";
	default:
		return "unknown error";
	}
}
