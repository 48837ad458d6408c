/*
 * What the builds for microbenchmarks offer to programs besides nano's calls: files, signals, pipes.
 * Invariants: nothing of it is in the other builds; memory that a task names is touched only after vm_covers agreed.
 * Source: our own; the calls are the least that the benchmarks of lmbench need (McVoy and Staelin, USENIX 1996).
 */
#include "../kernel/nano.h"

/* ---- files: one gives zeros, one takes everything ---- */

struct file {
    u32 (*read)(u32 buffer, u32 bytes);
    u32 (*write)(u32 buffer, u32 bytes);
};

static u32 zero_read(u32 buffer, u32 bytes)
{
    if (!vm_covers(&current->space, buffer, bytes))
        return SYS_ERROR;
    memset((void *)buffer, 0, bytes);
    return bytes;
}

static u32 null_write(u32 buffer, u32 bytes)
{
    return vm_covers(&current->space, buffer, bytes) ? bytes : SYS_ERROR;
}

static const struct file files[] = {{.read = zero_read}, {.write = null_write}};

static u32 file_call(const struct trap_frame *frame)
{
    const struct file *file = &files[frame->ebx];
    u32 (*operation)(u32, u32);

    if (frame->ebx >= ARRAY_LENGTH(files))
        return SYS_ERROR;
    operation = frame->eax == SYS_READ ? file->read : file->write;
    return operation ? operation(frame->ecx, frame->edx) : SYS_ERROR;
}

/* ---- signals ---- */

static u32 signal_install(u32 signal, u32 handler, u32 restorer)
{
    if (signal >= SIGNAL_COUNT || handler >= USER_LIMIT)
        return SYS_ERROR;
    current->handlers[signal] = handler;
    current->restorer = restorer;
    return 0;
}

static u32 signal_raise(u32 signal)
{
    if (signal >= SIGNAL_COUNT || !current->handlers[signal])
        return SYS_ERROR;
    current->pending |= 1u << signal;
    return 0;
}

int signal_fault(void)
{
    return signal_raise(SIGNAL_SEGV) == 0;
}

/* Onto the user's stack: what was interrupted, and a frame as if the restorer had called the handler. */
void signal_deliver(struct trap_frame *frame)
{
    u32 signal = 0, below = frame->esp - sizeof *frame - 2 * sizeof(u32);

    while (!(current->pending & 1u << signal))
        signal++;
    current->pending &= ~(1u << signal);
    if (!vm_covers(&current->space, below, frame->esp - below))
        task_exit(EXIT_KILLED);
    memcpy((void *)(below + 2 * sizeof(u32)), frame, sizeof *frame);
    ((u32 *)below)[0] = current->restorer;
    ((u32 *)below)[1] = signal;
    frame->esp = below;
    frame->eip = current->handlers[signal];
}

/* The handler has returned to the restorer, which left the signal's number and the saved frame on the stack. */
static u32 signal_return(struct trap_frame *frame)
{
    u32 saved = frame->esp + sizeof(u32);

    if (!vm_covers(&current->space, saved, sizeof *frame))
        task_exit(EXIT_KILLED);
    memcpy(frame, (const void *)saved, sizeof *frame);
    frame->cs = SEL_USER_CODE;
    frame->ss = frame->ds = frame->es = SEL_USER_DATA;
    frame->eflags = (frame->eflags & 0xCD5) | EFLAGS_ONE | EFLAGS_IF; /* arithmetic flags and DF */
    return frame->eax;
}

/* ---- pipes of one word ---- */

#define PIPE_COUNT 32

static struct {
    u32 full, word;
    struct task *reader;
} pipes[PIPE_COUNT];

static u32 pipe_send(u32 pipe, u32 word)
{
    if (pipe >= PIPE_COUNT || pipes[pipe].full)
        return SYS_ERROR;
    pipes[pipe].full = 1;
    pipes[pipe].word = word;
    if (pipes[pipe].reader)
        task_wake(pipes[pipe].reader);
    pipes[pipe].reader = 0;
    return 0;
}

static u32 pipe_receive(u32 pipe)
{
    if (pipe >= PIPE_COUNT || pipes[pipe].reader)
        return SYS_ERROR;
    while (!pipes[pipe].full) {
        pipes[pipe].reader = current;
        task_block();
    }
    pipes[pipe].full = 0;
    return pipes[pipe].word;
}

u32 posix_call(struct trap_frame *frame)
{
    switch (frame->eax) {
    case SYS_READ:
    case SYS_WRITE_TO: return file_call(frame);
    case SYS_SIGNAL: return signal_install(frame->ebx, frame->ecx, frame->edx);
    case SYS_RAISE: return signal_raise(frame->ebx);
    case SYS_SIGRETURN: return signal_return(frame);
    case SYS_EXEC: return task_exec(frame, frame->ebx);
    case SYS_ARGUMENT: return current->argument;
    case SYS_SEND: return pipe_send(frame->ebx, frame->ecx);
    case SYS_RECEIVE: return pipe_receive(frame->ebx);
    case SYS_MAP_FILE: return vm_map_file(&current->space, frame->ebx);
    case SYS_PROTECT: return vm_protect(&current->space, frame->ebx) ? 0 : SYS_ERROR;
    default: return SYS_ERROR;
    }
}
