/* SPDX-License-Identifier: Apache-2.0 */
/* An organisation's own looks: its colours, which must be readable, and images from files. */

#include "image.h"
#include "oauth.h"
#include "page_build.h"

#include <stdlib.h>

#include <apr_base64.h>
#include <apr_strings.h>

#include "mcp_util.h"

#define IMAGE_MAX 65536 /* bytes: it is a part of each page */
#define CONTRAST_MIN 4.5

/* The colours of pages/style.css: here again, because what is configured meets them. */
static const mcp_page_color_t built_in[] = {
    { "text", "#1b1f27", "#eceef2" },
    { "soft", "#525a67", "#aab1bd" },
    { "accent", "#1f5fbf", "#8ab4ff" },
    { "ground", "#f3f4f6", "#121418" },
    { "card", "#ffffff", "#1c1f25" },
    { "note", "#fff5dc", "#322810" },
    { "done", "#e3f4e8", "#14301e" },
};

/* What is written on what. */
static const char *const pairs[][2] = {
    { "text", "card" },
    { "soft", "card" },
    { "accent", "card" },
    { "soft", "ground" },
    { "accent", "ground" },
    { "text", "note" },
    { "text", "done" },
};

static const mcp_page_color_t *find_built_in(const char *name)
{
    for (apr_size_t i = 0; i < sizeof(built_in) / sizeof(*built_in); i++) {
        if (!strcmp(built_in[i].name, name)) {
            return &built_in[i];
        }
    }
    return NULL;
}

int mcp_page_color_known(const char *name)
{
    return find_built_in(name) != NULL;
}

static const mcp_page_color_t *find_color(const mcp_page_conf_t *page, const char *name)
{
    for (int i = page->colors->nelts; i-- > 0;) { /* the last one counts */
        const mcp_page_color_t *color = &APR_ARRAY_IDX(page->colors, i, mcp_page_color_t);

        if (!strcmp(color->name, name)) {
            return color;
        }
    }
    return find_built_in(name);
}

const char *mcp_page_color_rules(apr_pool_t *p, const mcp_page_conf_t *page)
{
    const char *light = "", *dark = "";

    for (int i = 0; page->colors && i < page->colors->nelts; i++) {
        const mcp_page_color_t *color = &APR_ARRAY_IDX(page->colors, i, mcp_page_color_t);

        light = apr_pstrcat(p, light, "--", color->name, ":", color->light, ";", NULL);
        dark = apr_pstrcat(p, dark, "--", color->name, ":", color->dark, ";", NULL);
    }
    return *light ? apr_pstrcat(p, ":root{", light, "}@media (prefers-color-scheme:dark){:root{",
                                dark, "}}", NULL)
                  : "";
}

/* x to the power of 2.4, for x in 0.03..1: x^2 times the fifth root of x^2, by Newton's method from
 * above. (pow() would need a library that the module is not linked with otherwise.) */
static double power_2_4(double x)
{
    double square = x * x, root = 1;

    for (int i = 0; i < 40; i++) {
        root = 0.8 * root + square / (5 * root * root * root * root);
    }
    return square * root;
}

/* Relative luminance (WCAG 2.2) of #rrggbb. */
static double luminance(const char *hex)
{
    static const double weights[] = { 0.2126, 0.7152, 0.0722 };
    long rgb = strtol(hex + 1, NULL, 16);
    double sum = 0;

    for (int i = 0; i < 3; i++) {
        double c = (double)((rgb >> (16 - 8 * i)) & 0xff) / 255;

        sum += weights[i] * (c <= 0.04045 ? c / 12.92 : power_2_4((c + 0.055) / 1.055));
    }
    return sum;
}

static double contrast(const char *a, const char *b)
{
    double x = luminance(a), y = luminance(b);

    return x > y ? (x + 0.05) / (y + 0.05) : (y + 0.05) / (x + 0.05);
}

static const char *check_pair(apr_pool_t *p, const char *const pair[2], const char *fore,
                              const char *ground, const char *theme)
{
    double ratio = contrast(fore, ground);

    if (ratio >= CONTRAST_MIN) {
        return NULL;
    }
    return apr_psprintf(p,
                        "MCPOAuthPageColor: in the %s theme %s (%s) on %s (%s) has a contrast of "
                        "%.1f, but people need %.1f to read it: take a %s %s",
                        theme, pair[0], fore, pair[1], ground, ratio, CONTRAST_MIN,
                        luminance(fore) > luminance(ground) ? "lighter" : "darker", pair[0]);
}

const char *mcp_page_color_check(apr_pool_t *p, const mcp_page_conf_t *page)
{
    if (!page->colors) {
        return NULL;
    }
    for (apr_size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        const mcp_page_color_t *fore = find_color(page, pairs[i][0]);
        const mcp_page_color_t *ground = find_color(page, pairs[i][1]);
        const char *why = check_pair(p, pairs[i], fore->light, ground->light, "light");

        why = why ? why : check_pair(p, pairs[i], fore->dark, ground->dark, "dark");
        if (why) {
            return why;
        }
    }
    return NULL;
}

/* The type by what is in the file: its name says nothing. SVG runs no script within <img>. */
static const char *image_type(const char *data, apr_size_t len)
{
    const char *type = mcp_image_type(data, len), *s = data;

    if (type) {
        return type;
    }
    if (!strncmp(s, "\xef\xbb\xbf", 3)) {
        s += 3;
    }
    s += strspn(s, " \t\r\n");
    if (strlen(data) == len && (!strncmp(s, "<svg", 4) || !strncmp(s, "<?xml", 5))
        && strstr(s, "<svg")) {
        return "image/svg+xml";
    }
    return NULL;
}

const char *mcp_page_image(apr_pool_t *p, const char *path, const char **url)
{
    const char *why, *type;
    apr_size_t len;
    char *data, *b64;

    why = mcp_read_file(p, path, IMAGE_MAX, &data, &len);
    if (why) {
        return why;
    }
    type = image_type(data, len);
    if (!type) {
        return apr_psprintf(p, "%s is neither PNG nor JPEG nor WebP nor SVG", path);
    }
    b64 = apr_palloc(p, apr_base64_encode_len((int)len));
    apr_base64_encode_binary(b64, (const unsigned char *)data, (int)len);
    *url = apr_pstrcat(p, "data:", type, ";base64,", b64, NULL);
    return NULL;
}
