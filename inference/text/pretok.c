#include "inference/text/pretok.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "inference/text/utf8_step.h"

#define MAX_STEPS 6

/* White_Space of Unicode, for use in a class.  Not \s: PCRE2's has U+180E too. */
#define WS                                                                                      \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
    "\\x{205f}\\x{3000}"
#define SPACE     "[" WS "]"
#define LN        "\\p{L}\\p{N}"
#define ENDING    "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])"
#define RUN_SPACE SPACE "+(?![^" WS "])|" SPACE "+"

/* The expression of GPT-2's encoder.py (Radford et al. 2019). */
#define GPT2 "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^" WS LN "]+|" RUN_SPACE

/* cl100k_base of tiktoken, with digits in groups of up to `digits`. */
#define CL100K(digits)                                                                 \
    ENDING "|[^\\r\\n" LN "]?\\p{L}+|\\p{N}" digits "| ?[^" WS LN "]+[\\r\\n]*|" SPACE \
           "*[\\r\\n]+|" RUN_SPACE

/* o200k_base of tiktoken: words begin at a change from lower to upper case. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define O200K(ending, digits)                                                                    \
    "[^\\r\\n" LN "]?" UPPER "*" LOWER "+" ending "|[^\\r\\n" LN "]?" UPPER "+" LOWER "*" ending \
    "|\\p{N}" digits "| ?[^" WS LN "]+[\\r\\n/]*|" SPACE "*[\\r\\n]+|" RUN_SPACE

/* DeepSeek LLM spells its cased letters out (its tokenizer.json). */
#define DEEPSEEK_LETTERS                                                                    \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"          \
    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}"  \
    "\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}"           \
    "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"                \
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"          \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"          \
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}" \
    "\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}"  \
    "\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}"          \
    "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}"           \
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}"            \
    "\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}" \
    "\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}"  \
    "\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"           \
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}"          \
    "\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}"        \
    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}"  \
    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"

struct scheme {
    const char *names; /* each between blanks */
    bool ignore_merges, add_bos;
    const char *steps[MAX_STEPS];
};

/* Names as llama.cpp's converter writes them into tokenizer.ggml.pre; expressions from the models'
 * own tokenizer.json, written so that nothing can backtrack far. */
static const struct scheme schemes[] = {
    { " gpt-2 phi-2 mpt olmo jais trillion gigachat jina-es jina-de jina-v2-es jina-v2-de "
      "jina-v1-en jina-v2-code roberta-bpe modern-bert mellum a.x-4.0 granite-docling ",
      false,
      false,
      { GPT2 } },
    { " default ", false, false, { "[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]" } },
    { " falcon ", false, false, { "[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]" } },
    { " smollm starcoder refact command-r codeshell exaone minerva-7b mellum2 ",
      false,
      false,
      { "\\p{N}", GPT2 } },
    { " llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
      true,
      true,
      { CL100K("{1,3}") } },
    { " dbrx smaug-bpe chatglm-bpe glm4 ", false, false, { CL100K("{1,3}") } },
    { " qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open megrez grok-2 ",
      false,
      false,
      { CL100K("") } },
    { " gpt-4o llama4 ", false, false, { O200K("(?:" ENDING ")?", "{1,3}") } },
    { " tekken ", true, true, { O200K("", "") } },
    { " deepseek-llm ",
      false,
      false,
      { "[\\r\\n]", SPACE "?[" DEEPSEEK_LETTERS "]+",
        SPACE
        "?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+",
        /* \s+$, tried only where a run of blanks begins */
        "(?<!" SPACE ")" SPACE "++\\z",
        "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+", "\\p{N}+" } },
    { " deepseek-coder ",
      false,
      false,
      { "[\\r\\n]", SPACE "?\\p{L}+", SPACE "?\\p{P}+",
        "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+", "\\p{N}" } },
    { " deepseek-v3 hunyuan-dense ",
      false,
      false,
      { "\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
        "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
        "[\\r\\n]*|" SPACE "*[\\r\\n]+|" RUN_SPACE } },
};

struct pretok {
    const struct scheme *scheme;
    pcre2_code *code[MAX_STEPS];
    size_t n;
};

static const struct scheme *find_scheme(struct str name)
{
    char needle[64];

    if (name.len == 0 || name.len > sizeof needle - 3 || memchr(name.data, ' ', name.len) ||
        memchr(name.data, '\0', name.len))
        return NULL;
    needle[0] = needle[name.len + 1] = ' ';
    memcpy(needle + 1, name.data, name.len);
    needle[name.len + 2] = '\0';
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strstr(schemes[i].names, needle))
            return &schemes[i];
    return NULL;
}

int pretok_create(struct pretok **out, struct str name, struct err *e)
{
    const struct scheme *scheme = find_scheme(name);
    struct pretok *p;

    *out = NULL;
    if (!scheme)
        return err_set(e, ERR_UNSUPPORTED,
                       "tokenizer.ggml.pre \"%.*s\" is not a way of splitting text known here",
                       (int)(name.len < 60 ? name.len : 60), name.data);
    p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for a pre-tokenizer");
    p->scheme = scheme;
    while (p->n < MAX_STEPS && scheme->steps[p->n]) {
        int problem;
        size_t offset;

        p->code[p->n] = pcre2_compile((PCRE2_SPTR)scheme->steps[p->n], PCRE2_ZERO_TERMINATED,
                                      PCRE2_UTF | PCRE2_UCP, &problem, &offset, NULL);
        if (!p->code[p->n]) {
            int step = (int)p->n;

            pretok_free(p);
            if (problem == PCRE2_ERROR_HEAP_FAILED)
                return err_set(e, ERR_NOMEM, "no memory for a pre-tokenizer");
            return err_set(e, ERR_INTERNAL, "expression %d of \"%.*s\": error %d at %zu", step,
                           (int)name.len, name.data, problem, offset);
        }
        /* Without a compiler for this machine the interpreter does the same, slower. */
        (void)pcre2_jit_compile(p->code[p->n], PCRE2_JIT_COMPLETE);
        p->n++;
    }
    *out = p;
    return 0;
}

void pretok_free(struct pretok *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        pcre2_code_free(p->code[i]);
    free(p);
}

bool pretok_ignores_merges(const struct pretok *p)
{
    return p->scheme->ignore_merges;
}

bool pretok_adds_bos(const struct pretok *p)
{
    return p->scheme->add_bos;
}

/* Splits valid UTF-8 by the expressions from `step` on. */
static int split(const struct pretok *p, struct pretok_run *run, size_t step, const char *s,
                 size_t len, struct err *e)
{
    size_t done = 0; /* bytes handed on */
    int rc;

    if (len == 0)
        return 0;
    if (step == p->n)
        return run->word(run->arg, s, len, e);
    /* PCRE2_NO_UTF_CHECK: checked by the caller; checking at each match would be quadratic. */
    while (done < len) {
        size_t start, end;
        int n = pcre2_match(p->code[step], (PCRE2_SPTR)s, len, done, PCRE2_NO_UTF_CHECK, run->match,
                            run->context);

        if (n == PCRE2_ERROR_NOMATCH)
            break;
        if (n < 0)
            return err_set(e, n == PCRE2_ERROR_NOMEMORY ? ERR_NOMEM : ERR_INTERNAL,
                           "splitting a text into words failed: PCRE2 error %d", n);
        start = pcre2_get_ovector_pointer(run->match)[0];
        end = pcre2_get_ovector_pointer(run->match)[1];
        if (end == start) /* no expression of the table can: it would never end */
            break;
        if ((rc = split(p, run, step + 1, s + done, start - done, e)) ||
            (rc = split(p, run, step + 1, s + start, end - start, e)))
            return rc;
        done = end;
    }
    return split(p, run, step + 1, s + done, len - done, e);
}

/* Every expression needs time in proportion to what it passes over; the limit is the seat belt. */
int pretok_prepare(struct pretok_run *run, size_t len, struct err *e)
{
    size_t limit = 10000000;

    if (!run->match)
        run->match = pcre2_match_data_create(1, NULL);
    if (!run->context)
        run->context = pcre2_match_context_create(NULL);
    if (!run->match || !run->context)
        return err_set(e, ERR_NOMEM, "no memory for splitting a text into words");
    if (len > (UINT32_MAX - limit) / 64)
        limit = UINT32_MAX;
    else
        limit += 64 * len;
    pcre2_set_match_limit(run->context, (uint32_t)limit);
    return 0;
}

int pretok_split(const struct pretok *p, struct pretok_run *run, const char *text, size_t len,
                 struct err *e)
{
    int rc = pretok_prepare(run, len, e);

    for (size_t i = 0; i < len && !rc;) {
        size_t good = i, bad;
        int step;

        while (good < len && (step = utf8_step(text + good, len - good)) > 0)
            good += (size_t)step;
        for (bad = good; bad < len && (step = utf8_step(text + bad, len - bad)) <= 0;)
            bad += step == 0 ? len - bad : (size_t)-step;
        rc = split(p, run, 0, text + i, good - i, e);
        if (!rc && bad > good)
            rc = run->word(run->arg, text + good, bad - good, e);
        i = bad;
    }
    return rc;
}

void pretok_run_done(struct pretok_run *run)
{
    pcre2_match_data_free(run->match);
    pcre2_match_context_free(run->context);
    run->match = run->context = NULL;
}
