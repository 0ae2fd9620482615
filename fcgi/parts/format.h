/* format.h - how models write tool calls and reasoning: descriptions kept as data.
 *
 * A description is chosen by what a model's own chat template says (its `signs`), since that is
 * what the model was trained to write; or by name, where the operator knows better.  split.h reads
 * answers by it. All static and constant: any thread. */
#ifndef AIRSTRIP_FORMAT_H
#define AIRSTRIP_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

/* What stands between a format's marks. */
enum format_body {
    BODY_OBJECTS, /* JSON objects with a name and arguments, or lists of such */
    BODY_NAMED,   /* a name, a mark, the arguments as JSON */
    BODY_TAGS,    /* a name, then each argument between marks of its own, strings without quotes */
    BODY_PYTHON,  /* [name(key=value, ...), ...] with literals as Python writes them */
    BODY_CHANNELS /* gpt-oss' messages with headers: reasoning, calls and text are told apart by
                     channel */
};

enum { FORMAT_SIGNS = 3, FORMAT_MARK_BYTES = 64 };

/* Marks are NULL where the format has none.  In order: open (call name [name_end] (key .. [key_end]
 * value .. value_end)* call_end)* close. */
struct format {
    const char *name;
    const char *signs[FORMAT_SIGNS]; /* a template of this format has all of them */
    enum format_body body;
    const char *open, *close;        /* around all calls */
    const char *call, *call_end;     /* around each */
    const char *name_end;            /* NAMED, TAGS; NULL: the first key or the call's end */
    const char *key, *key_end;       /* TAGS */
    const char *value, *value_end;   /* TAGS; value NULL: the value follows key_end */
    const char *name_key, *args_key; /* OBJECTS: their members; NULL: {name: arguments} */
    const char *name_prefix;         /* dropped from names that have it */
    bool bare;     /* OBJECTS, PYTHON: an answer that begins as one is a call too, if the name is a
                      tool's */
    bool cdata;    /* TAGS: a value may stand in <![CDATA[ ]]> */
    bool short_id; /* ids of nine letters and digits, which the template insists on */
};

/* Marks around reasoning. */
struct thinking {
    const char *open, *close;
};

/* The format whose signs the template (NULL: none) has; the general one where it knows none of
 * them. */
const struct format *format_detect(const char *chat_template);
const struct format *format_find(const char *name); /* NULL: no such name */

/* Does the template pass tools to the model, and calls in earlier messages? */
bool format_template_has_tools(const char *chat_template);

/* The marks that the template names; NULL where it names none. */
const struct thinking *format_thinking(const char *chat_template);

/* The table, for tests and help: ends with a NULL name. */
extern const struct format formats[];

#endif
