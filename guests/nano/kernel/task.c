/*
 * Tasks and the round-robin scheduler: one timer tick each, in the order they became ready.
 * Invariants: `current` is in no queue; READY tasks are in the ready queue, SLEEPING ones in the sleep
 *             list, ordered by wake tick, equal ticks by arrival; all others are in neither.
 * Source: our own; fork, wait and exit mean what they mean in UNIX.
 */
#include "nano.h"

#define TASK_COUNT 64

static struct task tasks[TASK_COUNT];
static struct task idle = {.state = TASK_READY};
struct task *current = &idle;

static struct task *first_task; /* when it ends, the machine ends */
static struct task *ready_head, *ready_tail;
static struct task *sleep_head;
static u32 next_id = 1;
static u32 slice_over;

static void ready_push(struct task *task)
{
    u32 irq = irq_save();

    task->state = TASK_READY;
    task->next = 0;
    if (ready_head)
        ready_tail->next = task;
    else
        ready_head = task;
    ready_tail = task;
    irq_restore(irq);
}

static struct task *ready_pop(void)
{
    u32 irq = irq_save();
    struct task *task = ready_head;

    if (task)
        ready_head = task->next;
    irq_restore(irq);
    return task;
}

/* Gives the CPU to the next ready task, else to the idle loop; returns when it is our turn again. */
static void schedule(void)
{
    struct task *previous = current;
    struct task *next = ready_pop();

    if (!next)
        next = &idle;
    if (next == previous)
        return;
    current = next;
    slice_over = 0;
    if (next != &idle) {
        tss_set_stack(next->kernel_stack + PAGE_BYTES);
        vm_activate(&next->space);
    }
    switch_stacks(&previous->kernel_esp, next->kernel_esp);
}

/* Runs on the boot stack. */
void task_idle(void)
{
    for (;;) {
        schedule();
        irq_wait();
    }
}

void task_yield(void)
{
    ready_push(current);
    schedule();
}

/* On the way back to ring 3. */
void task_preempt(void)
{
    if (slice_over && ready_head)
        task_yield();
}

void task_tick(void)
{
    slice_over = 1;
    while (sleep_head && (int)(ticks - sleep_head->wake_tick) >= 0) {
        struct task *task = sleep_head;
        sleep_head = task->next;
        ready_push(task);
    }
}

void task_sleep_until(u32 tick)
{
    struct task **at = &sleep_head;

    if ((int)(ticks - tick) >= 0)
        return;
    while (*at && (int)(tick - (*at)->wake_tick) >= 0)
        at = &(*at)->next;
    current->state = TASK_SLEEPING;
    current->wake_tick = tick;
    current->next = *at;
    *at = current;
    schedule();
}

/* Takes back the slot and the stack of an ended task; its space went when it ended. */
static void reap(struct task *task)
{
    page_free(task->kernel_stack);
    task->state = TASK_FREE;
}

/* An ended task whose parent ended first has nobody to wait for it: its slot is as good as free. */
static struct task *task_alloc(void)
{
    for (struct task *task = tasks; task < tasks + TASK_COUNT; task++) {
        if (task->state == TASK_ZOMBIE && !task->parent)
            reap(task);
        if (task->state != TASK_FREE)
            continue;
        task->kernel_stack = page_alloc();
        if (!task->kernel_stack)
            return 0;
        task->id = next_id++;
        task->parent = current;
        return task;
    }
    return 0;
}

/* The new task's first switch_stacks "returns" into trap_return, which leaves by this frame. */
static void task_launch(struct task *task, const struct trap_frame *frame)
{
    u32 *stack = (u32 *)(task->kernel_stack + PAGE_BYTES - sizeof *frame);

    memcpy(stack, frame, sizeof *frame);
    *--stack = (u32)trap_return;
    for (u32 kept = 0; kept < 4; kept++) /* ebp, ebx, esi, edi */
        *--stack = 0;
    task->kernel_esp = (u32)stack;
    ready_push(task);
}

void task_start_first(void)
{
    struct trap_frame frame = {
        .es = SEL_USER_DATA,
        .ds = SEL_USER_DATA,
        .cs = SEL_USER_CODE,
        .eflags = EFLAGS_ONE | EFLAGS_IF,
        .esp = USER_LIMIT,
        .ss = SEL_USER_DATA,
    };

    first_task = task_alloc();
    if (!first_task || !vm_create_first(&first_task->space))
        panic("no memory for the first task");
    first_task->parent = 0;
    frame.eip = vm_program_entry();
    task_launch(first_task, &frame);
}

u32 task_fork(const struct trap_frame *frame)
{
    struct trap_frame child_frame = *frame;
    struct task *task = task_alloc();

    if (!task)
        return SYS_ERROR;
    if (!vm_copy(&task->space, &current->space)) {
        page_free(task->kernel_stack);
        return SYS_ERROR;
    }
    child_frame.eax = 0;
    task_launch(task, &child_frame);
    return task->id;
}

u32 task_wait(u32 id)
{
    struct task *child = tasks;

    while (child < tasks + TASK_COUNT && !(child->state != TASK_FREE && child->id == id && child->parent == current))
        child++;
    if (child == tasks + TASK_COUNT)
        return SYS_ERROR;
    while (child->state != TASK_ZOMBIE) {
        current->state = TASK_WAITING;
        current->awaited = child;
        schedule();
    }
    reap(child);
    return child->exit_code;
}

static void leave_children(void)
{
    for (struct task *task = tasks; task < tasks + TASK_COUNT; task++)
        if (task->state != TASK_FREE && task->parent == current)
            task->parent = 0;
}

/* Every page must have come back: what is left is the stack we stand on. */
static void check_pages(void)
{
    u32 others = 0;

    for (struct task *task = tasks; task < tasks + TASK_COUNT; task++)
        others += task->state != TASK_FREE && task != current;
    if (!others && page_used_count() != 1)
        panic("pages lost");
}

void task_exit(u32 code)
{
    vm_activate(0);
    vm_destroy(&current->space);
    leave_children();
    if (current == first_task) {
        check_pages();
        shutdown(code == EXIT_KILLED ? EXIT_TASK_FAILED : code);
    }
    current->state = TASK_ZOMBIE;
    current->exit_code = code;
    if (current->parent && current->parent->state == TASK_WAITING && current->parent->awaited == current)
        ready_push(current->parent);
    schedule();
    panic("an ended task ran");
}

#ifdef NANO_LMBENCH

/* Until somebody who knows of us calls task_wake. */
void task_block(void)
{
    current->state = TASK_WAITING;
    current->awaited = 0;
    schedule();
}

void task_wake(struct task *task)
{
    ready_push(task);
}

/* The old space goes only when the new one is in force. */
u32 task_exec(struct trap_frame *frame, u32 argument)
{
    struct space fresh, old = current->space;

    if (!vm_create_first(&fresh))
        return SYS_ERROR;
    current->space = fresh;
    vm_activate(&current->space);
    vm_destroy(&old);
    memset(current->handlers, 0, sizeof current->handlers);
    current->argument = argument;
    frame->eip = vm_program_entry();
    frame->esp = USER_LIMIT;
    return 0;
}

#endif
