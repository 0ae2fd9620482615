#!/bin/sh
# airstrip-bench: its options, its result.  TAP.
model=${srcdir:-.}/tests/data/gguf/llama-Q8_0.gguf
bench=${builddir:-.}/airstrip-bench
n=0
echo 1..35
ok() { # WHAT STATUS
    n=$((n + 1))
    if [ "$2" -eq 0 ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; fi
}
# A mistake is told in one sentence, with status 2 and nothing on stdout.
mistake() {
    out=$("$bench" "$@" 2>"$err"); rc=$?
    [ $rc -eq 2 ] && [ -z "$out" ] && [ "$(wc -l <"$err")" -eq 1 ]
    ok "mistake: $*" $?
}
err=$(mktemp) || exit 1
trap 'rm -f "$err"' EXIT

"$bench" -h | grep -q '^usage: airstrip-bench'
ok "-h" $?
mistake
mistake --nonsense
mistake -m
mistake -m "$model" extra
mistake -m "$model" -p 0
mistake -m "$model" -p -5
mistake -m "$model" -n 12x
mistake -m "$model" --batch 1,0
mistake -m "$model" --turn 0
mistake -m "$model" -o yaml
mistake -m "$model" --ranks 0

"$bench" -m /nonexistent.gguf >"$err" 2>&1
[ $? -eq 1 ] && grep -q nonexistent "$err"
ok "a missing model is named" $?
"$bench" -m "$model" -p 5000 >"$err" 2>&1
[ $? -eq 1 ] && grep -q 1024 "$err"
ok "a prompt longer than the model's context is refused" $?

json=$("$bench" -m "$model" -p 33 -n 4 -t 2 -r 2 --batch 1,4,16 --turn 70 --long 300 -o json 2>"$err")
ok "it runs" $?
[ "$(printf '%s\n' "$json" | wc -l)" -eq 1 ]
ok "one line of JSON" $?
for key in prompt_tps gen_tps batch4_tps batch16_tps ttft_ms load_ms peak_mb read_gbps int8_peak_gops first_turn_ms \
    second_turn_ms gap_quiet_p50_ms gap_prompt_p99_ms; do
    printf '%s' "$json" | grep -Eq "\"$key\":[0-9]*[1-9.]"
    ok "$key is a number above 0" $?
done
for key in isa model; do
    printf '%s' "$json" | grep -Eq "\"$key\":\"[^\"]"
    ok "$key is told" $?
done
printf '%s' "$json" | grep -Eq '"prompt_int8_share":[0-9.]+,'
ok "the prompt's share of the limit is told" $?
printf '%s' "$json" | grep -q '"threads":2[,}]'
ok "threads as asked" $?

json=$("$bench" -m "$model" -p 33 -n 4 -t 3 -r 1 --batch 2 --ranks 3 -o json 2>"$err")
ok "three ranks run" $?
printf '%s' "$json" | grep -Eq '"batch2_tps":[0-9]*[1-9.].*"threads":3,"ranks":3[,}]'
ok "and are told, with a rate" $?
