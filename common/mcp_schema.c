/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded part of JSON Schema. */

#include <math.h>
#include <string.h>

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_schema.h"

#define TOLD_MOST 20 /* unchecked keywords that are named */

/* ---- what values are ---- */

/* A double from 2^53 on has no fraction. (floor() would need a library that the modules are not linked with otherwise.) */
static int is_whole(double real)
{
    return fabs(real) >= 9007199254740992.0 || real == (double)(json_int_t)real;
}

static int is_type(const json_t *value, const char *type)
{
    if (!strcmp(type, "object")) {
        return json_is_object(value);
    }
    if (!strcmp(type, "array")) {
        return json_is_array(value);
    }
    if (!strcmp(type, "string")) {
        return json_is_string(value);
    }
    if (!strcmp(type, "number")) {
        return json_is_number(value);
    }
    if (!strcmp(type, "integer")) {
        return json_is_integer(value) || (json_is_real(value) && is_whole(json_real_value(value)));
    }
    if (!strcmp(type, "boolean")) {
        return json_is_boolean(value);
    }
    return !strcmp(type, "null") && json_is_null(value);
}

static int is_type_name(const json_t *name)
{
    static const char *const names[] = { "object", "array", "string", "number",
                                         "integer", "boolean", "null" };
    const char *text = json_string_value(name);
    apr_size_t i;

    for (i = 0; text && i < sizeof(names) / sizeof(*names); i++) {
        if (!strcmp(text, names[i])) {
            return 1;
        }
    }
    return 0;
}

/* UTF-8, which jansson has checked. */
static json_int_t code_points(const json_t *text)
{
    const char *c = json_string_value(text);
    const char *end = c + json_string_length(text);
    json_int_t n = 0;

    for (; c < end; c++) {
        n += ((unsigned char)*c & 0xc0) != 0x80;
    }
    return n;
}

static int compare(const json_t *a, const json_t *b)
{
    double x, y;

    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t m = json_integer_value(a);
        json_int_t n = json_integer_value(b);

        return (m > n) - (m < n);
    }
    x = json_number_value(a);
    y = json_number_value(b);
    return (x > y) - (x < y);
}

/* ---- keywords: how they are meant to look, and what they want ---- */

typedef enum {
    SHAPE_TYPES,   /* the name of a type, or several */
    SHAPE_ANY,     /* whatever */
    SHAPE_LIST,    /* an array */
    SHAPE_NAMES,   /* an array of strings */
    SHAPE_NUMBER,  /* a number */
    SHAPE_COUNT,   /* a non-negative integer */
    SHAPE_SCHEMA,  /* a schema */
    SHAPE_SCHEMAS, /* an object of schemas */
    SHAPE_NOTE     /* only describes */
} shape_e;

static const struct {
    const char *name;
    shape_e shape;
} keywords[] = {
    { "type", SHAPE_TYPES },
    { "enum", SHAPE_LIST },
    { "const", SHAPE_ANY },
    { "properties", SHAPE_SCHEMAS },
    { "required", SHAPE_NAMES },
    { "additionalProperties", SHAPE_SCHEMA },
    { "items", SHAPE_SCHEMA },
    { "minItems", SHAPE_COUNT },
    { "maxItems", SHAPE_COUNT },
    { "minLength", SHAPE_COUNT },
    { "maxLength", SHAPE_COUNT },
    { "minimum", SHAPE_NUMBER },
    { "maximum", SHAPE_NUMBER },
    { "exclusiveMinimum", SHAPE_NUMBER },
    { "exclusiveMaximum", SHAPE_NUMBER },
    { "title", SHAPE_NOTE },
    { "description", SHAPE_NOTE },
    { "default", SHAPE_NOTE },
    { "examples", SHAPE_NOTE },
    { "deprecated", SHAPE_NOTE },
    { "readOnly", SHAPE_NOTE },
    { "writeOnly", SHAPE_NOTE },
    { "$schema", SHAPE_NOTE },
    { "$id", SHAPE_NOTE },
    { "$comment", SHAPE_NOTE },
    { "$defs", SHAPE_NOTE }, /* says something by $ref only */
    { "definitions", SHAPE_NOTE },
};

static int is_schema(const json_t *value)
{
    return json_is_object(value) || json_is_boolean(value);
}

static int all_are(const json_t *list, int (*is)(const json_t *))
{
    size_t i;

    for (i = 0; i < json_array_size(list); i++) {
        if (!is(json_array_get(list, i))) {
            return 0;
        }
    }
    return json_is_array(list);
}

static int is_string(const json_t *value)
{
    return json_is_string(value);
}

static int has_shape(const json_t *value, shape_e shape)
{
    switch (shape) {
    case SHAPE_TYPES:
        return is_type_name(value) || all_are(value, is_type_name);
    case SHAPE_LIST:
        return json_is_array(value);
    case SHAPE_NAMES:
        return all_are(value, is_string);
    case SHAPE_NUMBER:
        return json_is_number(value);
    case SHAPE_COUNT:
        return json_is_number(value) && is_type(value, "integer") && json_number_value(value) >= 0;
    case SHAPE_SCHEMA:
        return is_schema(value);
    case SHAPE_SCHEMAS:
        return json_is_object(value);
    default:
        return 1;
    }
}

/* Is this keyword checked? With patternProperties beside it, which properties are additional is not
 * known here. */
static int is_checked(const json_t *schema, const char *name, const json_t *value, shape_e *shape)
{
    apr_size_t i;

    for (i = 0; i < sizeof(keywords) / sizeof(*keywords); i++) {
        if (!strcmp(keywords[i].name, name)) {
            *shape = keywords[i].shape;
            return has_shape(value, *shape)
                   && (strcmp(name, "additionalProperties")
                       || !json_object_get(schema, "patternProperties"));
        }
    }
    return 0;
}

/* The value of a keyword that is checked, else NULL. */
static const json_t *want(const json_t *schema, const char *name)
{
    const json_t *value = json_object_get(schema, name);
    shape_e shape;

    return value && is_checked(schema, name, value, &shape) ? value : NULL;
}

/* ---- checking ---- */

static int wrong(mcp_schema_error_t *err, const char *path, const char *what)
{
    err->path = path;
    err->what = what;
    return 0;
}

/* The pointer to a member. */
static const char *below(apr_pool_t *p, const char *path, const char *name)
{
    char *escaped = apr_palloc(p, 2 * strlen(name) + 1);
    char *at = escaped;

    for (; *name; name++) {
        if (*name == '~' || *name == '/') {
            *at++ = '~';
            *at++ = *name == '~' ? '0' : '1';
        }
        else {
            *at++ = *name;
        }
    }
    *at = '\0';
    return apr_pstrcat(p, path, "/", escaped, NULL);
}

static int check_type(apr_pool_t *p, const json_t *schema, const json_t *value, const char *path,
                      mcp_schema_error_t *err)
{
    const json_t *type = want(schema, "type");
    const char *names = "";
    size_t i;

    if (!type || (json_is_string(type) && is_type(value, json_string_value(type)))) {
        return 1;
    }
    if (json_is_string(type)) {
        names = json_string_value(type);
    }
    for (i = 0; i < json_array_size(type); i++) {
        const char *name = json_string_value(json_array_get(type, i));

        if (is_type(value, name)) {
            return 1;
        }
        names = apr_pstrcat(p, names, i ? " or " : "", name, NULL);
    }
    return wrong(err, path, apr_pstrcat(p, "must be of type ", names, NULL));
}

static int check_values(const json_t *schema, const json_t *value, const char *path,
                        mcp_schema_error_t *err)
{
    const json_t *only = want(schema, "const");
    const json_t *choice = want(schema, "enum");
    size_t i;

    if (only && !mcp_json_same(only, value)) {
        return wrong(err, path, "must be the one value that is allowed");
    }
    if (!choice) {
        return 1;
    }
    for (i = 0; i < json_array_size(choice); i++) {
        if (mcp_json_same(json_array_get(choice, i), value)) {
            return 1;
        }
    }
    return wrong(err, path, "must be one of the values that are allowed");
}

static int check_number(const json_t *schema, const json_t *value, const char *path,
                        mcp_schema_error_t *err)
{
    const json_t *bound;

    if ((bound = want(schema, "minimum")) && compare(value, bound) < 0) {
        return wrong(err, path, "is too small");
    }
    if ((bound = want(schema, "maximum")) && compare(value, bound) > 0) {
        return wrong(err, path, "is too large");
    }
    if ((bound = want(schema, "exclusiveMinimum")) && compare(value, bound) <= 0) {
        return wrong(err, path, "is too small");
    }
    if ((bound = want(schema, "exclusiveMaximum")) && compare(value, bound) >= 0) {
        return wrong(err, path, "is too large");
    }
    return 1;
}

static int check_length(const json_t *schema, const char *least, const char *most, json_int_t n,
                        const char *path, mcp_schema_error_t *err)
{
    const json_t *bound;

    if ((bound = want(schema, least)) && (double)n < json_number_value(bound)) {
        return wrong(err, path, "is too short");
    }
    if ((bound = want(schema, most)) && (double)n > json_number_value(bound)) {
        return wrong(err, path, "is too long");
    }
    return 1;
}

static int check(apr_pool_t *p, const json_t *schema, const json_t *value, const char *path,
                 mcp_schema_error_t *err);

static int check_array(apr_pool_t *p, const json_t *schema, const json_t *value, const char *path,
                       mcp_schema_error_t *err)
{
    const json_t *items = want(schema, "items");
    size_t i;

    if (!check_length(schema, "minItems", "maxItems", (json_int_t)json_array_size(value), path,
                      err)) {
        return 0;
    }
    for (i = 0; items && i < json_array_size(value); i++) {
        if (!check(p, items, json_array_get(value, i),
                   apr_psprintf(p, "%s/%" APR_SIZE_T_FMT, path, i), err)) {
            return 0;
        }
    }
    return 1;
}

static int check_object(apr_pool_t *p, const json_t *schema, const json_t *value, const char *path,
                        mcp_schema_error_t *err)
{
    const json_t *required = want(schema, "required");
    const json_t *properties = want(schema, "properties");
    const json_t *additional = want(schema, "additionalProperties");
    const char *name;
    json_t *member;
    size_t i;

    for (i = 0; i < json_array_size(required); i++) {
        name = json_string_value(json_array_get(required, i));
        if (!json_object_get(value, name)) {
            return wrong(err, below(p, path, name), "is missing");
        }
    }
    json_object_foreach ((json_t *)value, name, member) {
        const json_t *rule = json_object_get(properties, name);

        if (!is_schema(rule)) {
            rule = rule ? NULL : additional;
        }
        if (rule && !check(p, rule, member, below(p, path, name), err)) {
            return 0;
        }
    }
    return 1;
}

static int check(apr_pool_t *p, const json_t *schema, const json_t *value, const char *path,
                 mcp_schema_error_t *err)
{
    if (!json_is_object(schema)) {
        return json_is_false(schema) ? wrong(err, path, "is not allowed") : 1;
    }
    if (!check_type(p, schema, value, path, err) || !check_values(schema, value, path, err)) {
        return 0;
    }
    if (json_is_number(value)) {
        return check_number(schema, value, path, err);
    }
    if (json_is_string(value)) {
        return check_length(schema, "minLength", "maxLength", code_points(value), path, err);
    }
    if (json_is_array(value)) {
        return check_array(p, schema, value, path, err);
    }
    return json_is_object(value) ? check_object(p, schema, value, path, err) : 1;
}

int mcp_schema_check(apr_pool_t *p, const json_t *schema, const json_t *value,
                     mcp_schema_error_t *err)
{
    return value ? check(p, schema, value, "", err) : wrong(err, "", "is missing");
}

/* ---- what is not checked ---- */

typedef struct {
    apr_pool_t *p;
    const char *text;
    int told;
} report_t;

static void note(report_t *report, const char *path, const char *name)
{
    if (report->told++ < TOLD_MOST) {
        report->text = apr_pstrcat(report->p, report->text, *report->text ? ", " : "", path,
                                   *path ? " " : "", name, NULL);
    }
}

static void look(report_t *report, const json_t *schema, const char *path)
{
    const char *name, *inner;
    json_t *value, *member;

    json_object_foreach ((json_t *)schema, name, value) {
        shape_e shape = SHAPE_ANY;

        if (!is_checked(schema, name, value, &shape)) {
            note(report, path, name);
        }
        else if (shape == SHAPE_SCHEMA) {
            look(report, value, below(report->p, path, name));
        }
        else if (shape == SHAPE_SCHEMAS) {
            json_object_foreach (value, inner, member) {
                const char *where = below(report->p, below(report->p, path, name), inner);

                if (is_schema(member)) {
                    look(report, member, where);
                }
                else {
                    note(report, where, "is no schema");
                }
            }
        }
    }
}

const char *mcp_schema_unchecked(apr_pool_t *p, const json_t *schema)
{
    report_t report = { p, "", 0 };

    if (!is_schema(schema)) {
        return "is no schema";
    }
    look(&report, schema, "");
    return report.told > TOLD_MOST ? apr_pstrcat(p, report.text, " ...", NULL) : report.text;
}
