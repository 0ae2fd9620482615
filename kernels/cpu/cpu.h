/* cpu.h - the CPU backend's table.  See kernels/backend.h. */
#ifndef AIRSTRIP_CPU_H
#define AIRSTRIP_CPU_H

#include "kernels/backend.h"

extern const struct backend backend_cpu;

#endif
