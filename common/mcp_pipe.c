/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that are fed by a pipe, by httpd's own piped logs. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <apr_portable.h>
#include <httpd.h>
#include <http_log.h>

#include "mcp_pipe.h"

const char *mcp_pipe_program(const char *target)
{
    if (*target != '|') {
        return NULL;
    }
    target += 1 + strspn(target + 1, " ");
    return *target ? target : NULL;
}

apr_status_t mcp_pipe_open(const char *target, apr_pool_t *pconf, int *fd)
{
    piped_log *log = ap_open_piped_log(pconf, mcp_pipe_program(target));

    if (!log || apr_os_file_get(fd, ap_piped_log_write_fd(log)) != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    return fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) | O_NONBLOCK) < 0 ? errno : APR_SUCCESS;
}
