#!/bin/sh
# test_planted.sh FOLDER - every planted bug is found, and the same code without it is silent.  TAP.
# FOLDER has `planted`, `planted_ranks` and in .libs the simulator.  What must be said of a bug is its first word; wrong: the result is.
cd "$1" || exit 1
LD_LIBRARY_PATH=$PWD/.libs
export LD_LIBRARY_PATH
n=0
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
table='uninitialised missing_barrier
shared-race tile_used_again
shared-bounds shared_write_outside
shared-bounds dynamic_read_outside
global-bounds global_write_outside
global-bounds global_read_outside
exited-lane shuffle_in_branch
inactive-shuffle shuffle_from_outside
divergent-barrier barriers_in_both_arms
divergent-collective barrier_not_reached
misaligned misaligned_vector
uninitialised never_written
global-race blocks_without_atomics
shared-race missing_syncwarp
global-race block_without_order
uninitialised async_without_wait
exited-lane mask_of_the_returned
local-bounds local_outside
launch block_too_large
launch block_beyond_its_bounds
launch shared_not_asked_for
global-bounds pointer_of_the_host
wrong staging_used_again
wrong by_another_stream
wrong read_before_the_end
cudaErrorStreamCaptureUnsupported wait_within_capture
memory-bounds copy_outside
bad-free freed_twice
stream-deadlock rank_that_forgets
nccl ranks_of_other_counts
wrong-device memory_of_another_device
wrong-device stream_of_another_device'
ranks=$(./planted_ranks)
cases="$(./planted) $ranks"
echo "1..$(($(echo "$cases" | wc -w) * 2))"
for bug in $cases; do
    case " $(echo $ranks) " in
    *" $bug "*) program=./planted_ranks CUDASIM_DEVICES=2 ;;
    *) program=./planted CUDASIM_DEVICES=1 ;;
    esac
    export CUDASIM_DEVICES
    kind=$(echo "$table" | awk -v b="$bug" '$2 == b { print $1 }')
    n=$((n + 1))
    ok=
    for seed in 1 2 3; do     # whatever the order of warps and blocks
        found=$(CUDASIM_SEED=$seed $program "$bug" 2>"$errors")
        case $kind in
        wrong) [ "$found" = "wrong result" ] || ok=not ;;
        cuda*) [ "$found" = "$kind" ] || ok=not ;;
        *) grep -q "\[$kind\]" "$errors" || ok=not ;;
        esac
    done
    [ -n "$kind" ] || ok=not
    [ -z "$ok" ] || sed 's/^/# /' "$errors"
    echo "${ok:+not }ok $n - $bug is found: ${kind:-nothing is expected of it}"
    n=$((n + 1))
    ok=
    for seed in 1 2 3; do
        found=$(CUDASIM_SEED=$seed $program "$bug" right 2>"$errors") && [ "$found" = "right result" ] && [ ! -s "$errors" ] || ok=not
    done
    [ -z "$ok" ] || sed 's/^/# /' "$errors"
    echo "${ok:+not }ok $n - $bug, without it: silent, and the right result"
done
