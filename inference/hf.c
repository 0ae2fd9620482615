/* hf.c - opens a folder, finds its family, and has the parts translated. */
#include "inference/hf.h"

#include <string.h>

#include "kernels/base/buf.h"
#include "kernels/base/json.h"

const struct value *hf_setting(const struct hf *h, const char *name)
{
    const struct value *v = value_get(h->config, name);

    if (!v) /* null in config.json means null, not the default */
        v = value_get(h->defaults, name);
    return v && v->kind != VALUE_NULL ? v : NULL;
}

const struct value *hf_own_setting(const struct hf *h, const char *name)
{
    return value_get(h->defaults, name) ? hf_setting(h, name) : NULL;
}

/* Names what is supported where the folder's family is not. */
static int find_arch(struct hf *h, struct err *e)
{
    const struct value *type = value_get(h->config, "model_type");
    struct buf known = { 0 };
    size_t n;
    const struct arch *const *all = arch_all(&n);
    int rc;

    if (!type || type->kind != VALUE_STRING)
        return err_set(e, ERR_FORMAT, "config.json: model_type is missing");
    h->arch = arch_find_hf(type->string.data, &h->hf);
    if (h->arch)
        return 0;
    for (size_t i = 0; i < n; i++)
        for (const struct arch_hf *const *hf = all[i]->hf; *hf; hf++)
            for (size_t k = 0; (*hf)->model_types[k]; k++)
                buf_printf(&known, "%s%s", known.len ? ", " : "", (*hf)->model_types[k]);
    rc = err_set(e, ERR_UNSUPPORTED,
                 "config.json: model_type \"%.64s\" is not supported; supported are: %s",
                 type->string.data, buf_str(&known));
    buf_done(&known);
    return rc;
}

/* The folder's last part, or the name that its settings give. */
static int put_name(struct hf *h, const char *path, struct err *e)
{
    size_t end = strlen(path), start;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (start = end; start > 0 && path[start - 1] != '/';)
        start--;
    return weights_put_copy(h->w, "general.name", (struct str){ path + start, end - start }, e);
}

static int translate(struct hf *h, struct folder *f, const char *path, struct err *e)
{
    struct value *defaults = NULL;
    int rc = find_arch(h, e);

    if (rc)
        return rc;
    rc = json_parse(h->hf->defaults, strlen(h->hf->defaults), 8, &f->arena, &defaults, e);
    if (rc)
        return rc;
    h->defaults = defaults;
    if ((rc = weights_put_copy(h->w, "general.architecture",
                               (struct str){ h->arch->name, strlen(h->arch->name) }, e)) ||
        (rc = weights_put_bool(h->w, HF_KEY, true, e)) || (rc = put_name(h, path, e)) ||
        (rc = hf_put_config(h, e)) || (rc = hf_put_tensors(h, e)) || (rc = hf_put_text(h, e)) ||
        (rc = hf_put_pooling(h, e)))
        return rc;
    rc = weights_seal(h->w, e);
    return rc ? rc : hf_check_flags(h, e);
}

int hf_open(struct weights **out, const char *path, struct err *e)
{
    struct folder f;
    struct hf h = { .folder = &f };
    int rc;

    *out = NULL;
    if (!folder_is(path)) {
        rc = weights_open(out, path, e);
        if (rc == 0 && (rc = hf_split_fused(*out, e))) {
            mapping_blame(path, rc, e);
            weights_close(*out);
            *out = NULL;
        }
        return rc;
    }
    rc = folder_open(&f, path, e);
    if (rc)
        goto out;
    h.config = f.config;
    rc = weights_new(&h.w, path, e);
    if (rc == 0)
        rc = translate(&h, &f, path, e);
    if (rc) {
        mapping_blame(path, rc, e);
        goto out;
    }
    weights_adopt(h.w, f.files, f.n_files); /* tensors and texts lie in them */
    f.files = NULL;
    f.n_files = 0;
    *out = h.w;
    h.w = NULL;
out:
    weights_close(h.w);
    folder_close(&f);
    return rc;
}
