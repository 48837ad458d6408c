/*
 * Every interrupt, exception and system call arrives here.
 * Invariant: a fault of a user task ends that task; a fault of the kernel that vm_fault cannot
 *            explain ends the machine. Nothing is ignored.
 * Source: Intel SDM volume 3, chapter on interrupt and exception handling (vectors, error codes).
 */
#include "nano.h"

#define VECTOR_PAGE_FAULT 14

static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "CSO",
                                    "#TS", "#NP", "#SS", "#GP", "#PF", "RSV", "#MF", "#AC", "#MC"};

static const char *trap_name(u32 vector)
{
    return vector < ARRAY_LENGTH(names) ? names[vector] : "interrupt";
}

void panic(const char *what)
{
    cli();
    print("nano: panic: %s\n", what);
    shutdown(EXIT_PANIC);
}

static void panic_at(const struct trap_frame *frame, u32 address)
{
    cli();
    print("nano: panic: %s vector=%u error=0x%x eip=0x%X cr2=0x%X\n", trap_name(frame->vector), frame->vector,
          frame->error, frame->eip, address);
    shutdown(EXIT_PANIC);
}

static void exception(struct trap_frame *frame, int from_user)
{
    enum vm_answer answer = VM_DENIED;
    u32 address = 0;

    /* The kernel faults too, and rightly, when a call writes to user memory not there yet or shared. */
    if (frame->vector == VECTOR_PAGE_FAULT) {
        address = read_cr2();
        answer = vm_fault(&current->space, address, frame->error);
    }
    if (answer == VM_RETRY)
        return;
#ifdef NANO_LMBENCH
    if (from_user && signal_fault())
        return;
#endif
    /* A call that writes where its task may not, or finds no page there, is the task's end, not ours. */
    int for_user = current->space.directory && address >= USER_BASE && address < USER_LIMIT;
    if (!from_user && !for_user)
        panic_at(frame, address);
    print("nano: task %u killed: %s error=0x%x eip=0x%X address=0x%X\n", current->id,
          answer == VM_NO_MEMORY ? "no memory" : trap_name(frame->vector), frame->error, frame->eip, address);
    task_exit(EXIT_KILLED);
}

/* Called by entry.S with interrupts off. */
void trap(struct trap_frame *frame)
{
    u32 irq = irq_enter();
    int from_user = (frame->cs & 3) == 3;

    if (frame->vector == VECTOR_SYSCALL)
        frame->eax = syscall(frame);
    else if (frame->vector < VECTOR_IRQ0)
        exception(frame, from_user);
    else
        irq_acknowledge(frame->vector);
    if (from_user)
        task_preempt();
#ifdef NANO_LMBENCH
    if (from_user && current->pending)
        signal_deliver(frame);
#endif
    irq_leave(irq);
}
