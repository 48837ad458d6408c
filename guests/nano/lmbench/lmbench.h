/*
 * The microbenchmarks and the calls they need.
 * Invariant: as for every workload, results do not depend on time.
 * Source: our own.
 */
#ifndef LMBENCH_H
#define LMBENCH_H

#include "../user/user.h"

static inline u32 system_call3(u32 number, u32 a, u32 b, u32 c)
{
    u32 result;

    __asm__ volatile("int %1" : "=a"(result) : "i"(VECTOR_SYSCALL), "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

static inline u32 sys_argument(void) { return system_call(SYS_ARGUMENT, 0, 0); }

/* What the image does after SYS_EXEC with this argument; its exit code. */
u32 lmbench_program(u32 argument);

struct outcome run_null(const u32 *value);
struct outcome run_nullio(const u32 *value);
struct outcome run_siginst(const u32 *value);
struct outcome run_sighndl(const u32 *value);
struct outcome run_prot(const u32 *value);
struct outcome run_fork(const u32 *value);
struct outcome run_exec(const u32 *value);
struct outcome run_sh(const u32 *value);
struct outcome run_ctx(const u32 *value);
struct outcome run_mmap(const u32 *value);
struct outcome run_fault(const u32 *value);

#endif
