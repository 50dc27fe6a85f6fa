/* SPDX-License-Identifier: Apache-2.0 */
/* The unit tests of the upstream side: a program of its own, since it needs cjose. */

#ifndef MCP_UNIT_UPSTREAM_H
#define MCP_UNIT_UPSTREAM_H

#include "unit.h"

#include <apr_time.h>

/* Added to the clock that the program under test reads. */
extern volatile apr_time_t clock_offset;

Suite *suite_cache(void);
Suite *suite_callback_post(void);
Suite *suite_claims(void);
Suite *suite_gate(void);
Suite *suite_id_token(void);
Suite *suite_jwks(void);

#endif
