/* split.h - a model's answer, piece by piece, into what it says, what it thinks and what it calls.
 *
 * A push takes any piece of the answer, in which a control token stands as 0xff, its text, 0xfe (as
 * engine.h has it); such tokens are marks of the format or are dropped.  0xfd ends a token, and
 * 0xfc is disregarded.  The parts that come of it do not depend on how the answer was cut into
 * pieces: only where a part is cut does.  Bytes are held back while they could be the beginning of
 * a mark, and no longer; what was taken for a call and is none comes back as content. Blanks around
 * reasoning and calls belong to nobody.  One thread at a time. */
#ifndef AIRSTRIP_SPLIT_H
#define AIRSTRIP_SPLIT_H

#include "fcgi/parts/format.h"
#include "kernels/base/buf.h"
#include "kernels/base/value.h"

enum part_kind {
    PART_CONTENT,
    PART_REASONING,
    PART_CALL,      /* a call begins: the text is its name, whole */
    PART_ARGUMENTS, /* of the call that began last: a piece of a JSON object */
};

struct part {
    enum part_kind kind;
    size_t call;       /* CALL, ARGUMENTS: 0, 1, ... in order */
    size_t start, len; /* in the split's text */
};

struct split_options {
    const struct format *format;     /* NULL: no calls are looked for */
    const struct thinking *thinking; /* NULL: reasoning stays in the content */
    bool reasoning_is_content;       /* of channels, which are read all the same */
    const struct value *tools;       /* list as a request has it, or NULL; borrowed */
    bool only_calls;                 /* the whole answer is calls, without a mark */
    const char
        *prompt_end; /* its last bytes say whether the answer begins within reasoning; or NULL */
};

enum { SPLIT_MARKS = 6 };

struct split;

/* What the split does with a byte, with a mark (its index) and at the end, while it is in one place
 * of a format. */
struct split_state {
    void (*byte)(struct split *s, char c);
    void (*mark)(struct split *s, size_t i);
    void (*end)(struct split *s);
    void (*control)(struct split *s, const char *token); /* one that is no mark; NULL: drops it */
};

/* One JSON value as its bytes come. */
struct scan_json {
    size_t depth;
    bool string, escaped;
};

/* The inside of a JSON string to what it means. */
struct unescape {
    int state; /* 0: plain, 1: after a backslash, 2 .. 5: so many - 1 digits of \u are expected */
    unsigned code, surrogate;
};

struct split {
    /* What came out since split_take(). */
    struct buf text;
    struct part *parts;
    size_t n_parts, cap;
    bool failed; /* memory ran out */

    size_t n_calls;               /* begun so far */
    size_t n_tokens, n_reasoning; /* so far, where the text says where they end; of reasoning */

    /* Private. */
    struct split_options o;
    const struct split_state *state;
    const char *marks[SPLIT_MARKS]; /* of this state; NULL: none */
    struct buf held;                /* the beginning of a mark, perhaps */
    struct buf control;             /* of a control token, its text so far */
    bool in_control;
    struct buf blank; /* white space that may turn out to be nobody's */
    bool begun;       /* this stretch of text has had more than white space */
    bool apart;       /* reasoning or a call came before it */
    struct buf raw;   /* since a mark promised a call: content if there is none */
    bool recording;   /* such a mark was met */
    bool called;      /* the call that is being read has begun */
    bool bare;        /* it began without a mark */
    bool reasoned;    /* the last token ended within reasoning */
    struct buf name, key, value;
    struct scan_json json;
    struct unescape unescape;
    int at, role;  /* OBJECTS, PYTHON: where in an object, and whose value it is */
    size_t nest;   /* objects around it */
    bool any;      /* the call has had an argument */
    bool has_args; /* its arguments have come */
    bool quoted;   /* TAGS, PYTHON: the value is a string; OBJECTS: so are all arguments */
    char quote;    /* PYTHON: the string's quote, 0 outside */
};

void split_init(struct split *s, const struct split_options *o);
void split_push(struct split *s, const char *bytes, size_t len);
void split_finish(struct split *s); /* nothing more will come */
void split_take(struct split *s);   /* forgets the parts that came out */
void split_done(struct split *s);

/* What comes next is reasoning, as far as can be told. */
bool split_in_reasoning(const struct split *s);

/* A call has begun and its end was not seen. */
bool split_in_call(const struct split *s);

#endif
