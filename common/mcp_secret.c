/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets by reference: read once, in the parent, wiped with their pool. */

#include "mcp_secret.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#include "mcp_command.h"
#include "mcp_util.h"

#define EXEC_TIMEOUT apr_time_from_sec(10)

typedef struct {
    char *text;
    apr_size_t len;
} wipe_t;

static apr_status_t wipe(void *data)
{
    OPENSSL_cleanse(((wipe_t *)data)->text, ((wipe_t *)data)->len);
    return APR_SUCCESS;
}

/* A buffer that is wiped when @a p is cleared. */
static char *wiped_buffer(apr_pool_t *p, apr_size_t len)
{
    wipe_t *buffer = apr_palloc(p, sizeof(*buffer));

    buffer->text = apr_pcalloc(p, len);
    buffer->len = len;
    apr_pool_cleanup_register(p, buffer, wipe, apr_pool_cleanup_null);
    return buffer->text;
}

/* May this file hold a secret? NULL or why not. */
static const char *check_file(apr_pool_t *p, const char *path, const apr_finfo_t *info)
{
    if (info->filetype != APR_REG) {
        return apr_psprintf(p, "secret file %s is not a regular file", path);
    }
    if (info->protection & (APR_FPROT_GREAD | APR_FPROT_GWRITE | APR_FPROT_WREAD | APR_FPROT_WWRITE)) {
        return apr_psprintf(p, "secret file %s can be read or written by others than its owner: chmod 600 %s",
                            path, path);
    }
    if (info->size > MCP_SECRET_MAX) {
        return apr_psprintf(p, "secret file %s is larger than %d bytes", path, MCP_SECRET_MAX);
    }
    return NULL;
}

const char *mcp_secret_check(apr_pool_t *p, const char *ref)
{
    apr_finfo_t info;
    apr_status_t rv;

    if (!strncmp(ref, "file:/", 6)) {
        rv = apr_stat(&info, ref + 5, APR_FINFO_SIZE | APR_FINFO_PROT | APR_FINFO_TYPE, p);
        if (rv != APR_SUCCESS) {
            return apr_psprintf(p, "secret file %s: %s", ref + 5, mcp_file_error(p, rv));
        }
        return check_file(p, ref + 5, &info);
    }
    if (!strncmp(ref, "file:", 5)) {
        return "write file: with an absolute path, as in file:/etc/mcp/secret";
    }
    if ((!strncmp(ref, "env:", 4) && ref[4] && !strchr(ref, '=')) || (!strncmp(ref, "exec:", 5) && ref[5])) {
        return NULL;
    }
    return "a secret is given by reference: file:/path, env:NAME or exec:command";
}

static const char *is_empty(apr_pool_t *p, const char *ref)
{
    if (!strncmp(ref, "file:", 5)) {
        return apr_psprintf(p, "secret file %s is empty: write the secret into it", ref + 5);
    }
    if (!strncmp(ref, "env:", 4)) {
        return apr_psprintf(p, "environment variable %s is empty: set it where httpd is started, as in envvars", ref + 4);
    }
    return apr_psprintf(p, "%s prints nothing: it has to print the secret on its standard output", ref);
}

/* Cut the line ends off, and refuse what no header and no form could carry. */
static const char *finish(apr_pool_t *p, const char *ref, char *text, const char **value)
{
    apr_size_t len = strlen(text);

    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        text[--len] = '\0';
    }
    if (!len) {
        return is_empty(p, ref);
    }
    if (mcp_has_control(text)) {
        return apr_psprintf(p, "%s gives a secret with control characters or several lines", ref);
    }
    *value = text;
    return NULL;
}

static const char *load_file(apr_pool_t *p, const char *path, char *text)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_size_t len = 0;
    char reason[120];
    const char *error;
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT, p);

    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "cannot open secret file %s: %s", path, mcp_file_error(p, rv));
    }
    rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_PROT | APR_FINFO_TYPE, file);
    error = rv == APR_SUCCESS ? check_file(p, path, &info) : "cannot examine the secret file";
    if (!error) {
        rv = apr_file_read_full(file, text, MCP_SECRET_MAX, &len);
        if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
            error = apr_psprintf(p, "cannot read secret file %s: %s", path,
                                 apr_strerror(rv, reason, sizeof(reason)));
        }
        else if (memchr(text, '\0', len)) {
            error = apr_psprintf(p, "secret file %s holds a NUL byte", path);
        }
    }
    apr_file_close(file);
    return error;
}

static const char *load_exec(apr_pool_t *p, const char *ref, char *text)
{
    const char *error = mcp_command_read(ref + 5, text, MCP_SECRET_MAX, EXEC_TIMEOUT);

    return error ? apr_psprintf(p, "%s: the command %s", ref, error) : NULL;
}

/* The text behind a reference, as it is. NULL or why not. */
static const char *load(apr_pool_t *p, const char *ref, char **text)
{
    const char *error = mcp_secret_check(p, ref), *env;

    if (error) {
        return error;
    }
    *text = wiped_buffer(p, MCP_SECRET_MAX + 1);
    if (!strncmp(ref, "file:", 5)) {
        return load_file(p, ref + 5, *text);
    }
    if (!strncmp(ref, "exec:", 5)) {
        return load_exec(p, ref, *text);
    }
    env = getenv(ref + 4);
    if (!env) {
        return apr_psprintf(p, "environment variable %s is not set: set it where httpd is started, as in envvars", ref + 4);
    }
    apr_cpystrn(*text, env, MCP_SECRET_MAX + 1);
    return NULL;
}

const char *mcp_secret_load(apr_pool_t *p, const char *ref, const char **value)
{
    char *text;
    const char *error = load(p, ref, &text);

    return error ? error : finish(p, ref, text, value);
}

const char *mcp_secret_load_pem(apr_pool_t *p, const char *ref, const char **value)
{
    char *text;
    const char *error = load(p, ref, &text);

    if (error) {
        return error;
    }
    if (!text[strspn(text, " \t\r\n")]) {
        return is_empty(p, ref);
    }
    if (!strstr(text, "-----BEGIN ")) {
        return apr_psprintf(p, "%s gives nothing in PEM form", ref);
    }
    *value = text;
    return NULL;
}
