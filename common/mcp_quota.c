/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas by windows of the calendar, in a file that is mapped into memory. */

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "mcp_quota.h"
#include "mcp_util.h"

#define WAYS 8
#define COUNT_BITS 24
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
#define HOUR_BITS 16
#define HOUR_MASK ((UINT64_C(1) << HOUR_BITS) - 1)
#define TAG_SHIFT (COUNT_BITS + HOUR_BITS)
#define HOURS_AHEAD_MOST (32 * 24) /* the end of a window lies no farther ahead */
#define LOCK_TRIES 20              /* of 100 ms each: the httpd before may be about to end */

typedef struct {
    char magic[16]; /* other contents get another one */
    unsigned char secret[MCP_LIMIT_SECRET_LEN];
    uint32_t buckets; /* a power of two */
    unsigned char zero[12];
    unsigned char sum[16];
} head_t;

#define SUMMED offsetof(head_t, sum)
static const char magic[16] = "mcp-quota-1\n";

struct mcp_quota_table_t {
    head_t *head;
    uint64_t *words;
    uint32_t *displaced; /* in memory of its own: it need not outlive anybody */
};

/* ---- the calendar ---- */

void mcp_calendar_window(mcp_calendar_e unit, apr_time_t now, apr_time_t *start, apr_time_t *end)
{
    apr_time_exp_t date;
    apr_int64_t days = apr_time_sec(now) / 86400;

    switch (unit) {
    case MCP_CALENDAR_HOUR:
        *start = now - now % apr_time_from_sec(3600);
        *end = *start + apr_time_from_sec(3600);
        return;
    case MCP_CALENDAR_DAY:
        *start = apr_time_from_sec(days * 86400);
        *end = *start + apr_time_from_sec(86400);
        return;
    case MCP_CALENDAR_WEEK:
        days -= (days + 3) % 7; /* 1 January 1970 was a Thursday */
        *start = apr_time_from_sec(days * 86400);
        *end = *start + apr_time_from_sec(7 * 86400);
        return;
    case MCP_CALENDAR_MONTH:
        break;
    }
    apr_time_exp_gmt(&date, now);
    *start = apr_time_from_sec((days - date.tm_mday + 1) * 86400);
    /* The 31st day after the first lies in the next month, on its 1st to 4th. */
    apr_time_exp_gmt(&date, *start + apr_time_from_sec(31 * 86400));
    *end = *start + apr_time_from_sec((apr_int64_t)(31 - date.tm_mday + 1) * 86400);
}

const char *mcp_quota_parse(const char *text, apr_uint32_t *count, mcp_calendar_e *unit)
{
    static const struct {
        const char *name;
        mcp_calendar_e unit;
    } units[] = {
        { "hour", MCP_CALENDAR_HOUR },
        { "h", MCP_CALENDAR_HOUR },
        { "day", MCP_CALENDAR_DAY },
        { "d", MCP_CALENDAR_DAY },
        { "week", MCP_CALENDAR_WEEK },
        { "month", MCP_CALENDAR_MONTH },
    };
    char *end = NULL;
    apr_int64_t n = apr_isdigit(*text) ? apr_strtoi64(text, &end, 10) : 0;
    apr_size_t i;

    for (i = 0; n > 0 && *end == '/' && i < sizeof(units) / sizeof(*units); i++) {
        if (!strcmp(end + 1, units[i].name)) {
            *count = (apr_uint32_t)n;
            *unit = units[i].unit;
            return n <= MCP_QUOTA_MOST ? NULL
                                       : "allows more than 10000000 calls, which is no quota";
        }
    }
    return "takes COUNT/hour, /day, /week or /month, such as 10000/day";
}

/* ---- the file ---- */

static void sum_of(const head_t *head, unsigned char sum[16])
{
    unsigned char digest[MCP_SHA256_LEN];

    mcp_sha256(head, SUMMED, digest);
    memcpy(sum, digest, 16);
}

static apr_size_t size_of(uint32_t buckets)
{
    return sizeof(head_t) + (apr_size_t)buckets * WAYS * sizeof(uint64_t);
}

static void begin_head(head_t *head, uint32_t buckets)
{
    memset(head, 0, sizeof(*head));
    memcpy(head->magic, magic, sizeof(magic));
    mcp_random(head->secret, sizeof(head->secret));
    head->buckets = buckets;
    sum_of(head, head->sum);
}

/* Nobody else may count in the file. The lock is this process's, and goes with it; its children
 * share the pages. */
static apr_status_t lock(int fd)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int i;

    for (i = 0; i < LOCK_TRIES; i++) {
        if (fcntl(fd, F_SETLK, &whole) == 0) {
            return APR_SUCCESS;
        }
        if (errno != EACCES && errno != EAGAIN) {
            return errno;
        }
        usleep(100000);
    }
    return APR_EBUSY;
}

static apr_status_t map(mcp_quota_table_t *table, int fd, apr_size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                    fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

    if (at == MAP_FAILED) {
        return errno;
    }
    table->head = at;
    table->words = (uint64_t *)(table->head + 1);
    return APR_SUCCESS;
}

/* Is this a file of ours, whole? */
static int is_ours(int fd, uint32_t buckets)
{
    unsigned char sum[16];
    struct stat info;
    head_t head;

    if (fstat(fd, &info) || !S_ISREG(info.st_mode) || info.st_size != (off_t)size_of(buckets)
        || pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head)) {
        return 0;
    }
    sum_of(&head, sum);
    return !memcmp(head.magic, magic, sizeof(magic)) && head.buckets == buckets
           && !memcmp(head.sum, sum, sizeof(sum));
}

/* A new file, that has its name only when it is complete. Returns the descriptor, locked, or -1
 * with *rv. */
static int make_file(const char *path, uint32_t buckets, apr_status_t *rv, apr_pool_t *p)
{
    const char *temp = apr_pstrcat(p, path, ".new", NULL);
    head_t head;
    int fd;

    begin_head(&head, buckets);
    unlink(temp); /* of an unclean end before */
    fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        *rv = errno;
        return -1;
    }
    /* All of its blocks: a full disk must not end a process that counts. */
    *rv = posix_fallocate(fd, 0, (off_t)size_of(buckets));
    if (*rv == APR_SUCCESS
        && (pwrite(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) || fsync(fd))) {
        *rv = errno ? errno : EIO;
    }
    if (*rv == APR_SUCCESS) {
        *rv = lock(fd);
    }
    if (*rv == APR_SUCCESS && rename(temp, path)) {
        *rv = errno;
    }
    if (*rv != APR_SUCCESS) {
        unlink(temp);
        close(fd);
        return -1;
    }
    return fd;
}

/* The descriptor of the file, locked and checked, or -1 with *rv. */
static int open_file(const char *path, uint32_t buckets, mcp_quota_origin_e *origin,
                     apr_status_t *rv, apr_pool_t *p)
{
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    *rv = fd < 0 ? errno : APR_SUCCESS;
    if (fd < 0 && *rv != ENOENT) {
        return -1;
    }
    *origin = MCP_QUOTA_NEW;
    if (fd >= 0) {
        *rv = lock(fd);
        if (*rv != APR_SUCCESS) {
            close(fd);
            return -1;
        }
        *origin = MCP_QUOTA_FOUND;
        if (is_ours(fd, buckets)) {
            return fd;
        }
        *origin = MCP_QUOTA_BAD;
        close(fd);
        if (rename(path, apr_pstrcat(p, path, ".bad", NULL))) {
            *rv = errno;
            return -1;
        }
    }
    return make_file(path, buckets, rv, p);
}

apr_status_t mcp_quota_open(mcp_quota_table_t **out, const char *path, apr_size_t entries,
                            mcp_quota_origin_e *origin, apr_status_t *why, apr_pool_t *p)
{
    mcp_quota_table_t *table = apr_pcalloc(p, sizeof(*table));
    uint32_t buckets = 1;
    apr_status_t rv;
    void *displaced;
    int fd = -1;

    while ((apr_size_t)buckets * WAYS < entries) {
        buckets *= 2;
    }
    *why = APR_SUCCESS;
    if (path) {
        fd = open_file(path, buckets, origin, why, p);
        if (fd >= 0 && (*why = map(table, fd, size_of(buckets))) != APR_SUCCESS) {
            close(fd);
            fd = -1;
        }
    }
    if (fd < 0) {
        *origin = MCP_QUOTA_MEMORY;
        rv = map(table, -1, size_of(buckets));
        if (rv != APR_SUCCESS) {
            return rv;
        }
        begin_head(table->head, buckets);
    }
    /* fd stays open: with it the lock would go. */
    displaced =
        mmap(NULL, sizeof(uint32_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (displaced == MAP_FAILED) {
        return errno;
    }
    table->displaced = displaced;
    *out = table;
    return APR_SUCCESS;
}

apr_uint32_t mcp_quota_displaced(const mcp_quota_table_t *table)
{
    return __atomic_load_n(table->displaced, __ATOMIC_RELAXED);
}

/* ---- counting ---- */

/* Does the window of this word still run? */
static int runs(uint64_t word, uint64_t hour)
{
    uint64_t ahead = ((word >> COUNT_BITS) - hour) & HOUR_MASK;

    return word && ahead > 0 && ahead <= HOURS_AHEAD_MOST;
}

/* The word of @a tag, or the one to replace: one whose window is over, else the one with the
 * smallest count. */
static uint64_t *find_word(uint64_t *bucket, uint64_t tag, uint64_t hour, uint64_t *seen)
{
    uint64_t *best = NULL;
    uint64_t best_count = 0;
    int i;

    for (i = 0; i < WAYS; i++) {
        uint64_t word = __atomic_load_n(&bucket[i], __ATOMIC_RELAXED);
        uint64_t count = runs(word, hour) ? word & COUNT_MASK : 0;

        if (word && word >> TAG_SHIFT == tag) {
            *seen = word;
            return &bucket[i];
        }
        if (!best || count < best_count) {
            best = &bucket[i];
            best_count = count;
            *seen = word;
        }
    }
    return best;
}

int mcp_quota_check(mcp_quota_table_t *table, apr_uint32_t quota, mcp_calendar_e unit,
                    const char *rule, const char *key, apr_time_t now, mcp_limit_state_t *state)
{
    uint64_t hash = mcp_limit_hash(table->head->secret, rule, key);
    uint64_t *bucket = table->words + (hash & (table->head->buckets - 1)) * WAYS;
    uint64_t tag = hash >> TAG_SHIFT;
    uint64_t hour = (uint64_t)(apr_time_sec(now) / 3600);
    apr_time_t start, end;
    uint64_t end_hour;

    mcp_calendar_window(unit, now, &start, &end);
    end_hour = (uint64_t)(apr_time_sec(end) / 3600) & HOUR_MASK;
    state->quota = quota;
    state->window = end - start;
    state->reset = end - now;
    for (;;) {
        uint64_t seen = 0;
        uint64_t *word = find_word(bucket, tag, hour, &seen);
        int same =
            seen && seen >> TAG_SHIFT == tag && ((seen >> COUNT_BITS) & HOUR_MASK) == end_hour;
        uint64_t count = same ? seen & COUNT_MASK : 0;
        int displaces = !same && runs(seen, hour) && seen >> TAG_SHIFT != tag;

        if (count >= quota) {
            state->remaining = 0;
            state->retry = end - now;
            return 0;
        }
        if (__atomic_compare_exchange_n(word, &seen,
                                        tag << TAG_SHIFT | end_hour << COUNT_BITS | (count + 1), 0,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            if (displaces) {
                __atomic_add_fetch(table->displaced, 1, __ATOMIC_RELAXED);
            }
            state->remaining = quota - (apr_uint32_t)count - 1;
            state->retry = 0;
            return 1;
        }
    }
}
