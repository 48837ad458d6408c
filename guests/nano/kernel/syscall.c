/*
 * System calls: checks what the task passes, then asks the module that knows.
 * Invariant: memory that a task names is touched only after vm_covers has agreed to it.
 * Source: our own; the numbers and arguments are listed in abi.h.
 */
#include "nano.h"

#define PORT_PROGRESS 0xE4 /* nothing answers there on a PC; hvsim counts work units there */

/* Cumulative, so a watcher that looks rarely misses nothing. */
void progress(u32 units_done)
{
    outl(PORT_PROGRESS, units_done);
}

static u32 sys_write(u32 text, u32 length_bytes)
{
    if (!vm_covers(&current->space, text, length_bytes))
        return SYS_ERROR;
    console_write((const char *)text, length_bytes);
    return length_bytes;
}

static u32 sys_cmdline(u32 buffer, u32 capacity_bytes)
{
    if (!capacity_bytes || !vm_covers(&current->space, buffer, capacity_bytes))
        return SYS_ERROR;
    text_copy((char *)buffer, command_line, capacity_bytes);
    return 0;
}

static u32 sys_sleep(u32 tick)
{
    if (!timer_hz)
        return SYS_ERROR;
    task_sleep_until(tick);
    return 0;
}

u32 syscall(struct trap_frame *frame)
{
    switch (frame->eax) {
    case SYS_EXIT: task_exit(frame->ebx);
    case SYS_FORK: return task_fork(frame);
    case SYS_WAIT: return task_wait(frame->ebx);
    case SYS_GETPID: return current->id;
    case SYS_WRITE: return sys_write(frame->ebx, frame->ecx);
    case SYS_SLEEP: return sys_sleep(frame->ebx);
    case SYS_YIELD: task_yield(); return 0;
    case SYS_MAP: return vm_map(&current->space, frame->ebx);
    case SYS_UNMAP: return vm_unmap(&current->space, frame->ebx) ? 0 : SYS_ERROR;
    case SYS_WORK: progress(frame->ebx); return 0;
    case SYS_TICKS: return ticks;
    case SYS_CMDLINE: return sys_cmdline(frame->ebx, frame->ecx);
    case SYS_PTEMOD: return bench_ptemod(frame->ebx);
    case SYS_IO: return bench_io(frame->ebx);
#ifdef NANO_LMBENCH
    default: return posix_call(frame);
#else
    default: return SYS_ERROR;
#endif
    }
}
