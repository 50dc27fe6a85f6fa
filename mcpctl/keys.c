/* SPDX-License-Identifier: Apache-2.0 */
/* Key files: made, and given a new key on top. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_base64.h>
#include <apr_strings.h>
#include <apr_time.h>
#include <openssl/crypto.h>

#include "mcp_json.h"
#include "mcp_keyring.h"
#include "mcp_util.h"
#include "mcpctl.h"

#define KEY_LEN 32
#define KEY_FILE_MAX 65536

/* By default a key is called after the second in which it was made. */
static const char *kid_of(apr_pool_t *p, const char *given)
{
    apr_time_exp_t t;

    if (given) {
        return given;
    }
    apr_time_exp_gmt(&t, apr_time_now());
    return apr_psprintf(p, "k%04d%02d%02d%02d%02d%02d", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min,
                        t.tm_sec);
}

static char *new_line(apr_pool_t *p, const char *kid)
{
    unsigned char key[KEY_LEN];
    char text[64];
    char *line;

    mcp_random(key, sizeof(key));
    apr_base64_encode_binary(text, key, sizeof(key));
    line = apr_psprintf(p, "%s %s\n", kid, text);
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(text, sizeof(text));
    return line;
}

static int write_all(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len) {
        ssize_t n = write(fd, text, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return 0;
        }
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0;
}

/* Write a new file beside @a path, prove that it is a good key file, and let @a place put it there. */
static int replace(const mcpctl_t *ctl, const char *path, const char *text, const struct stat *like)
{
    const char *temp = apr_psprintf(ctl->pool, "%s.new-%d", path, (int)getpid());
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    mcp_keyring_t *ring;
    const char *err;

    if (fd < 0) {
        return mcpctl_complain("%s: %s", temp, strerror(errno));
    }
    if (!write_all(fd, text) || (like && (fchown(fd, like->st_uid, like->st_gid) != 0 || fchmod(fd, like->st_mode & 07777) != 0))) {
        err = strerror(errno);
        close(fd);
        unlink(temp);
        return mcpctl_complain("%s: %s", temp, err);
    }
    close(fd);
    err = mcp_keyring_load(&ring, temp, ctl->pool);
    /* link() never overwrites, so that keygen cannot lose anybody's keys */
    if (!err && (like ? rename(temp, path) : link(temp, path)) != 0) {
        err = apr_psprintf(ctl->pool, "%s: %s", path, strerror(errno));
    }
    if (err || !like) {
        unlink(temp);
    }
    return err ? mcpctl_complain("%s", err) : MCPCTL_OK;
}

static int tell(const mcpctl_t *ctl, const char *path, const char *kid, const char *then)
{
    if (ctl->json) {
        puts(mcp_json_text(ctl->pool, mcp_json_own(ctl->pool, json_pack("{s:s, s:s}", "file", path, "kid", kid))));
    }
    else {
        printf("%s: key %s seals from the next start on%s\n", path, kid, then);
    }
    return MCPCTL_OK;
}

int mcpctl_keygen(const mcpctl_t *ctl, int argc, const char *const *argv)
{
    const char *kid;
    int code;

    if (argc < 1 || argc > 2) {
        return mcpctl_complain("keygen takes a file to make, and a name for the key if you like");
    }
    kid = kid_of(ctl->pool, argc > 1 ? argv[1] : NULL);
    code = replace(ctl, argv[0], new_line(ctl->pool, kid), NULL);
    return code == MCPCTL_OK ? tell(ctl, argv[0], kid, "") : code;
}

int mcpctl_rekey(const mcpctl_t *ctl, int argc, const char *const *argv)
{
    const char *kid;
    struct stat info;
    char *text;
    ssize_t n;
    int fd, code;

    if (argc < 1 || argc > 2) {
        return mcpctl_complain("rekey takes a key file, and a name for the new key if you like");
    }
    fd = open(argv[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0 || info.st_size > KEY_FILE_MAX) {
        code = mcpctl_complain("%s: %s", argv[0], fd < 0 ? strerror(errno) : "too large for a key file");
        if (fd >= 0) {
            close(fd);
        }
        return code;
    }
    text = apr_pcalloc(ctl->pool, (apr_size_t)info.st_size + 1);
    n = read(fd, text, (size_t)info.st_size);
    close(fd);
    if (n != info.st_size) {
        return mcpctl_complain("%s: cannot be read", argv[0]);
    }
    kid = kid_of(ctl->pool, argc > 1 ? argv[1] : NULL);
    code = replace(ctl, argv[0], apr_pstrcat(ctl->pool, new_line(ctl->pool, kid), text, NULL), &info);
    return code == MCPCTL_OK ? tell(ctl, argv[0], kid,
                                    "; the keys below it go on opening.\n"
                                    "Reload httpd gracefully. Several hosts must all know a key before one seals with it: "
                                    "see docs/high-availability.md.")
                             : code;
}
