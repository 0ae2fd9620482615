/* tojson: what Python's json.dumps() prints, with ensure_ascii off unless asked for. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "inference/text/template/run.h"
#include "kernels/base/json.h"

enum { MAX_INDENT = 4096 };

struct dump {
    struct render *r;
    struct tbuf b;
    bool ascii, sort_keys, tainted;
    const struct tstr *indent; /* NULL: all on one line */
    const char *item_sep;
    size_t item_sep_len;
    const char *key_sep;
    size_t key_sep_len;
    size_t level;
};

static int dump(struct dump *d, struct tval v);

static void put(struct dump *d, const char *s)
{
    tbuf_put(d->r, &d->b, s, strlen(s), false);
}

static void put_char(struct dump *d, uint32_t c, const char *bytes, size_t n)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *simple = c && c < 0x80 ? strchr(from, (int)c) : NULL;
    char text[16];

    if (simple) {
        text[0] = '\\';
        text[1] = to[simple - from];
        tbuf_put(d->r, &d->b, text, 2, false);
        return;
    }
    if (c < 0x20 || (d->ascii && c > 0x7e && c < 0x10000))
        snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    else if (d->ascii && c >= 0x10000)
        snprintf(text, sizeof text, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((c - 0x10000) >> 10)),
                 (unsigned)(0xdc00 + ((c - 0x10000) & 0x3ff)));
    else {
        tbuf_put(d->r, &d->b, bytes, n, false);
        return;
    }
    put(d, text);
}

static int dump_string(struct dump *d, const struct tstr *s)
{
    size_t plain = 0;

    TRY(run_charge_bytes(d->r, s->len));
    d->tainted |= tstr_tainted(s);
    put(d, "\"");
    for (size_t i = 0; i < s->len;) {
        uint32_t c;
        size_t n = tstr_char_at(s, i, &c);

        if (c < 0x20 || c == '"' || c == '\\' || (d->ascii && c > 0x7e)) {
            tbuf_put(d->r, &d->b, s->data + plain, i - plain, false);
            put_char(d, c, s->data + i, n);
            plain = i + n;
        }
        i += n;
    }
    tbuf_put(d->r, &d->b, s->data + plain, s->len - plain, false);
    put(d, "\"");
    return 0;
}

static void new_line(struct dump *d)
{
    if (!d->indent)
        return;
    put(d, "\n");
    for (size_t i = 0; i < d->level && !d->b.failed; i++)
        tbuf_put(d->r, &d->b, d->indent->data, d->indent->len, false);
}

static void separate(struct dump *d, size_t i)
{
    if (i)
        tbuf_put(d->r, &d->b, d->item_sep, d->item_sep_len, false);
    new_line(d);
}

static int dump_list(struct dump *d, const struct tlist *l)
{
    put(d, "[");
    d->level++;
    for (size_t i = 0; i < l->len; i++) {
        separate(d, i);
        TRY(dump(d, l->items[i]));
    }
    d->level--;
    if (l->len)
        new_line(d);
    put(d, "]");
    return 0;
}

static int dump_key(struct dump *d, struct tval key)
{
    if (key.kind == T_STRING)
        return dump_string(d, key.s);
    if (!tval_is_number(key) && key.kind != T_NONE)
        return run_fail(d->r, "keys must be str, int, float, bool or None, not %s", tval_type(key));
    put(d, "\"");
    TRY(dump(d, key));
    put(d, "\"");
    return 0;
}

static int dump_dict(struct dump *d, const struct tdict *dict)
{
    struct tval pairs = { .kind = T_DICT, .dict = (struct tdict *)dict };
    const struct tval by_key[3] = { tval_bool(true), { 0 }, { 0 } };
    struct args none = { 0 };

    if (d->sort_keys) {
        TRY(filter_find("dictsort", 8)->fn(d->r, pairs, by_key, &none, &pairs));
    }
    put(d, "{");
    d->level++;
    for (size_t i = 0; i < dict->len; i++) {
        separate(d, i);
        TRY(dump_key(d, d->sort_keys ? pairs.list->items[i].list->items[0] : dict->pairs[i].key));
        tbuf_put(d->r, &d->b, d->key_sep, d->key_sep_len, false);
        TRY(dump(d, d->sort_keys ? pairs.list->items[i].list->items[1] : dict->pairs[i].value));
    }
    d->level--;
    if (dict->len)
        new_line(d);
    put(d, "}");
    return 0;
}

static int dump(struct dump *d, struct tval v)
{
    char text[64];

    TRY(run_charge(d->r, 1));
    switch (v.kind) {
    case T_NONE:
        put(d, "null");
        return 0;
    case T_BOOL:
        put(d, v.b ? "true" : "false");
        return 0;
    case T_INT:
        snprintf(text, sizeof text, "%" PRId64, v.i);
        put(d, text);
        return 0;
    case T_FLOAT:
        json_format_double(text, v.d);
        put(d, isnan(v.d) ? "NaN" : isinf(v.d) ? (v.d < 0 ? "-Infinity" : "Infinity") : text);
        return 0;
    case T_STRING:
        return dump_string(d, v.s);
    case T_LIST:
        if (v.list->flavour > LIST_TUPLE)
            break;
        TRY(run_enter(d->r));
        TRY(dump_list(d, v.list));
        run_leave(d->r);
        return 0;
    case T_DICT:
        TRY(run_enter(d->r));
        TRY(dump_dict(d, v.dict));
        run_leave(d->r);
        return 0;
    default:
        break;
    }
    return run_fail(d->r, "Object of type %s is not JSON serializable", tval_type(v));
}

/* separators=(item, key) */
static int take_separators(struct dump *d, struct tval v)
{
    const struct tstr *item, *key;

    if (v.kind == T_MISSING || v.kind == T_NONE)
        return 0;
    if (v.kind != T_LIST || v.list->len != 2)
        return run_fail(d->r, "separators must be a pair of strings");
    TRY(arg_string(d->r, v.list->items[0], "separators", &item));
    TRY(arg_string(d->r, v.list->items[1], "separators", &key));
    d->item_sep = item->data;
    d->item_sep_len = item->len;
    d->key_sep = key->data;
    d->key_sep_len = key->len;
    return 0;
}

/* params: ensure_ascii, indent, separators, sort_keys. */
int json_dumps(struct render *r, struct tval v, const struct tval *params, struct tval *out)
{
    struct dump d = { .r = r, .item_sep = ", ", .item_sep_len = 2, .key_sep = ": " };
    struct tstr indent = { .data = "" };

    d.key_sep_len = 2;
    d.ascii = tval_truth(params[0]);
    d.sort_keys = tval_truth(params[3]);
    if (tval_is_integer(params[1])) {
        int64_t n = tval_integer(params[1]);

        char *blanks;

        if (n > MAX_INDENT)
            return run_fail(r, "an indent of %lld is out of range", (long long)n);
        indent.len = n < 0 ? 0 : (size_t)n;
        blanks = run_alloc(r, indent.len + 1, 1);
        if (!blanks)
            return ERR_LIMIT;
        memset(blanks, ' ', indent.len);
        indent.data = blanks;
        d.indent = &indent;
    } else if (params[1].kind == T_STRING) {
        d.indent = params[1].s;
    } else if (params[1].kind != T_MISSING && params[1].kind != T_NONE) {
        TRY(arg_string(r, params[1], "indent", &d.indent));
    }
    if (d.indent)
        d.item_sep_len = 1;
    TRY(take_separators(&d, params[2]));
    TRY(dump(&d, v));
    return tbuf_derived(r, &d.b, d.tainted, out);
}
