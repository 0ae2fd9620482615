/* split_state.h - what the files of split share: states, and how parts come out. */
#ifndef AIRSTRIP_SPLIT_STATE_H
#define AIRSTRIP_SPLIT_STATE_H

#include "fcgi/parts/split.h"

enum { NAME_MAX_LEN = 256 }; /* a longer name, or header, is none */

/* Goes to a state whose marks are these; NULL: none. */
void split_go(struct split *s, const struct split_state *state, const char *a, const char *b,
              const char *c);

/* Text outside of everything, after something that was apart or (first) at the beginning. */
void split_text(struct split *s, bool apart);

/* Appends to the part that came out last where that is of the same kind. */
void split_emit(struct split *s, enum part_kind kind, const char *bytes, size_t len);

/* The call named by s->name begins.  False: the format may only call tools that exist, and it does
 * not. */
bool split_call(struct split *s);

/* It was no call: what was read since the mark is content, and text goes on.  Where the call has
 * begun already it ends. */
void split_give_back(struct split *s);

/* Where calls begin, by body: after the format's first mark.  bare: there was none, and the byte
 * that told comes next. */
void split_objects(struct split *s);
void split_named(struct split *s);
void split_tags(struct split *s, bool in_call);
void split_python(struct split *s);
void split_channels(struct split *s, const char *prompt_end);

bool split_is_blank(char c);

/* Empties one of its buffers, and remembers that something is missing where it has failed. */
void split_reset(struct split *s, struct buf *b);

/* The name without the format's prefix, blanks, and Kimi's ":0". */
void split_trim_name(struct split *s);

/* What kind of value a tool's argument is, as far as the tools' schemas say. */
enum arg_kind { ARG_UNKNOWN, ARG_STRING, ARG_OTHER };
enum arg_kind split_arg_kind(const struct value *tools, const char *tool, const char *key);
bool split_knows(const struct value *tools, const char *tool);

/* The end of one JSON value: feeds a byte, true when the value is complete with it. Objects, lists
 * and strings only; others have no end of their own. */
bool scan_json(struct scan_json *j, char c);

/* One byte of a JSON string's inside: appends what it means to *out. */
void unescape_byte(struct unescape *u, char c, struct buf *out);

/* Bytes as the inside of a JSON string. */
void escape_bytes(struct buf *out, const char *bytes, size_t len);

/* A value that stood without quotes, as JSON: itself where it is JSON (or Python's name for it),
 * else a string. */
void split_put_value(struct buf *out, const char *bytes, size_t len);

#endif
