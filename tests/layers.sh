#!/bin/sh
# Who may see whom: a file includes its own folder and what stands left of it (HACKING.md, Rooms).  TAP.
cd "${srcdir:-.}" || exit 1
n=0
# check FOLDER ALLOWED...: every "quoted" include of FOLDER's files begins with one of ALLOWED.
check() {
    dir=$1
    shift
    n=$((n + 1))
    allow=$(printf '%s\n' "$@" | sed 's/[.]/\\./g; s/^/^/' | paste -sd'|')
    bad=$(find "$dir" -maxdepth 1 -name '*.[ch]' -o -maxdepth 1 -name '*.inc' | sort | while read -r f; do
        sed -n 's/^#include "\([^"]*\)".*/\1/p' "$f" | grep -Ev "$allow|^config\.h$" | sed "s|^|# $f includes |"
    done)
    if [ -n "$bad" ]; then
        echo "$bad"
        echo "not ok $n - $dir"
    else
        echo "ok $n - $dir"
    fi
}
base=kernels/base/
quant='kernels/tensor.h kernels/quant/'
text='inference/weights/ inference/text/ inference/constrain/'
echo 1..23
check kernels/base $base
check kernels/quant $base $quant
check kernels $base $quant kernels/backend.h kernels/ranks kernels/split kernels/cpu/cpu.h kernels/cuda/module.h kernels/mpi/module.h
check kernels/cuda $base $quant kernels/backend.h kernels/ranks.h kernels/cuda/
check kernels/mpi $base kernels/ranks kernels/mpi/
check kernels/cpu $base $quant kernels/backend.h kernels/ranks.h kernels/cpu/
check inference/weights $base $quant inference/weights/
check inference/text $base $quant $text
check inference/text/template $base inference/text/
check inference/text/hf $base $text
check inference/constrain $base inference/constrain/
check inference/arch $base $quant kernels/backend.h inference/arch/
check inference $base $quant kernels/backend.h kernels/ranks kernels/split.h $text inference/
check tools kernels/ inference/ tools/
check quantize kernels/base/ kernels/quant/ kernels/tensor.h inference/ quantize/
check hub $base hub/
check fetch $base hub/ fetch/
check doctor $base doctor/
check fcgi $base hub/ inference/engine.h kernels/ranks_mpi.h fcgi/
check fcgi/api $base inference/engine.h fcgi/
check fcgi/takeoff $base inference/engine.h fcgi/
check fcgi/takeoff/convert $base fcgi/config fcgi/takeoff/
check fcgi/parts $base fcgi/parts/
