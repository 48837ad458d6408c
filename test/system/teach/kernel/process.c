/* Locks, processes and the scheduler that every CPU runs. */
#include "kernel.h"

static struct { struct spinlock lock; struct process all[PROCESSES]; } table = {.lock = {.name = "processes"}};
static struct process *init;
static int next_id = 1;
int idle_halts;

/* ---------------------------------------------------------------- this CPU */

/* By its local APIC, so it is right before GS is; interrupts must be off, or the answer may be old. */
struct cpu *this_cpu(void) {
  if (eflags() & FLAG_IF) panic("this_cpu with interrupts on");
  int id = lapic_id();
  for (int i = 0; i < cpu_count; i++) {
    if (cpus[i].apic_id == id) return &cpus[i];
  }
  return &cpus[0];
}
/* By GS: one instruction, so it is right with interrupts on as well. */
struct process *self(void) {
  struct process *p;
  __asm__ volatile("movl %%gs:4, %0" : "=r"(p));
  return p;
}

/* ---------------------------------------------------------------- locks */

/* Nested cli: interrupts come on again when all have been undone, if they were on before. */
void irq_push(void) {
  u32 flags = eflags();
  cli();
  struct cpu *c = this_cpu();
  if (c->off_depth++ == 0) c->was_on = flags & FLAG_IF;
}
void irq_pop(void) {
  if (eflags() & FLAG_IF) panic("irq_pop with interrupts on");
  struct cpu *c = this_cpu();
  if (--c->off_depth < 0) panic("irq_pop");
  if (c->off_depth == 0 && c->was_on) sti();
}
static int holds(struct spinlock *l) {
  irq_push();
  int r = l->held && l->cpu == this_cpu();
  irq_pop();
  return r;
}
void lock(struct spinlock *l) {
  irq_push();
  if (holds(l)) panic(l->name);
  while (exchange(&l->held, 1) != 0) {}
  __sync_synchronize();
  l->cpu = this_cpu();
}
void unlock(struct spinlock *l) {
  if (!holds(l)) panic(l->name);
  l->cpu = NULL;
  __sync_synchronize();
  __asm__ volatile("movl $0, %0" : "+m"(l->held));
  irq_pop();
}
void sleep_lock(struct sleeplock *l) {
  lock(&l->guard);
  while (l->held) sleep(l, &l->guard);
  l->held = 1;
  unlock(&l->guard);
}
void sleep_unlock(struct sleeplock *l) {
  lock(&l->guard);
  l->held = 0;
  wakeup(l);
  unlock(&l->guard);
}

/* ---------------------------------------------------------------- scheduler */

/* One on each CPU, on its own stack; never returns. It takes the lock, the process gives it back, and the other way round. */
void scheduler(void) {
  struct cpu *c = this_cpu();
  c->process = NULL;
  for (;;) {
    sti();
    int ran = 0;
    lock(&table.lock);
    for (struct process *p = table.all; p < table.all + PROCESSES; p++) {
      if (p->state != RUNNABLE) continue;
      ran = 1;
      c->process = p;
      use_space(p);
      p->state = RUNNING;
      switch_context(&c->scheduler, p->context);
      use_kernel_space();
      c->process = NULL;
    }
    unlock(&table.lock);
    if (!ran && idle_halts) __asm__ volatile("sti; hlt");
  }
}
static void leave(void) {
  struct process *p = self();
  if (!holds(&table.lock)) panic("leave without lock");
  if (this_cpu()->off_depth != 1) panic("leave with locks");
  if (p->state == RUNNING) panic("leave while running");
  int was_on = this_cpu()->was_on;
  switch_context(&p->context, this_cpu()->scheduler);
  this_cpu()->was_on = was_on; /* perhaps another CPU */
}
void yield(void) {
  lock(&table.lock);
  self()->state = RUNNABLE;
  leave();
  unlock(&table.lock);
}
void sleep(void *channel, struct spinlock *l) {
  struct process *p = self();
  if (l != &table.lock) {
    lock(&table.lock);
    unlock(l);
  }
  p->channel = channel;
  p->state = SLEEPING;
  leave();
  p->channel = NULL;
  if (l != &table.lock) {
    unlock(&table.lock);
    lock(l);
  }
}
static void wakeup_locked(void *channel) {
  for (struct process *p = table.all; p < table.all + PROCESSES; p++) {
    if (p->state == SLEEPING && p->channel == channel) p->state = RUNNABLE;
  }
}
void wakeup(void *channel) {
  lock(&table.lock);
  wakeup_locked(channel);
  unlock(&table.lock);
}

/* ---------------------------------------------------------------- processes */

/* Where a new process begins in the kernel: it holds the scheduler's lock. */
static void begin(void) {
  static int done;
  unlock(&table.lock);
  if (!done) {
    done = 1;
    files_init(); /* sleeps, so it needs a process */
  }
}
static struct process *process_new(void) {
  lock(&table.lock);
  struct process *p = table.all;
  while (p < table.all + PROCESSES && p->state != UNUSED) p++;
  if (p == table.all + PROCESSES) {
    unlock(&table.lock);
    return NULL;
  }
  p->state = EMBRYO;
  p->id = next_id++;
  unlock(&table.lock);
  if (!(p->stack = page_new())) {
    p->state = UNUSED;
    return NULL;
  }
  char *top = p->stack + KSTACK;
  top -= sizeof *p->frame;
  p->frame = (struct frame *)top;
  top -= 4;
  *(u32 *)top = (u32)trap_return; /* where begin() returns to */
  top -= sizeof *p->context;
  p->context = (struct context *)top;
  fill(p->context, 0, sizeof *p->context);
  p->context->eip = (u32)begin;
  return p;
}
void first_process(void) {
  struct process *p = init = process_new();
  p->directory = space_new();
  space_first(p->directory, first_code, first_code_end - first_code);
  p->size = PAGE;
  fill(p->frame, 0, sizeof *p->frame);
  p->frame->cs = SEL_UCODE;
  p->frame->ds = p->frame->es = p->frame->ss = SEL_UDATA;
  p->frame->eflags = FLAG_IF;
  p->frame->esp = PAGE;
  copy_text(p->name, "first", sizeof p->name);
  lock(&table.lock);
  p->state = RUNNABLE;
  unlock(&table.lock);
}
int grow(int bytes) {
  struct process *p = self();
  u32 size = p->size;
  if (bytes > 0 && size + bytes < size) return -1;
  if (bytes < 0 && (u32)-bytes > size) return -1;
  if (bytes > 0 && !(size = space_grow(p->directory, size, size + bytes))) return -1;
  if (bytes < 0) size = space_shrink(p->directory, size, size + bytes);
  p->size = size;
  use_space(p); /* forgets what the TLB has */
  return 0;
}
int fork(void) {
  struct process *p = self(), *child = process_new();
  if (!child) return -1;
  if (!(child->directory = space_copy(p->directory, p->size))) {
    page_free(child->stack);
    child->stack = NULL;
    child->state = UNUSED;
    return -1;
  }
  child->size = p->size;
  child->parent = p;
  *child->frame = *p->frame;
  child->frame->eax = 0;
  for (int i = 0; i < OPEN; i++) {
    if (p->files[i]) child->files[i] = file_share(p->files[i]);
  }
  copy(child->name, p->name, sizeof p->name);
  int id = child->id;
  lock(&table.lock);
  child->state = RUNNABLE;
  unlock(&table.lock);
  return id;
}
void exit(int status) {
  struct process *p = self();
  if (p == init) panic("init ended");
  for (int i = 0; i < OPEN; i++) {
    if (p->files[i]) file_close(p->files[i]);
    p->files[i] = NULL;
  }
  lock(&table.lock);
  p->status = status;
  wakeup_locked(p->parent);
  for (struct process *o = table.all; o < table.all + PROCESSES; o++) {
    if (o->parent != p || o->state == UNUSED) continue;
    o->parent = init;
    if (o->state == ZOMBIE) wakeup_locked(init);
  }
  p->state = ZOMBIE;
  leave();
  panic("back from the dead");
}
int wait(int *status) {
  struct process *p = self();
  lock(&table.lock);
  for (;;) {
    int children = 0;
    for (struct process *o = table.all; o < table.all + PROCESSES; o++) {
      if (o->parent != p || o->state == UNUSED) continue;
      children = 1;
      if (o->state != ZOMBIE) continue;
      int id = o->id;
      *status = o->status;
      page_free(o->stack);
      space_free(o->directory);
      fill(o, 0, sizeof *o);
      unlock(&table.lock);
      return id;
    }
    if (!children || p->killed) {
      unlock(&table.lock);
      return -1;
    }
    sleep(p, &table.lock);
  }
}
int kill(int id) {
  lock(&table.lock);
  for (struct process *p = table.all; p < table.all + PROCESSES; p++) {
    if (p->id != id || p->state == UNUSED) continue;
    p->killed = 1;
    if (p->state == SLEEPING) p->state = RUNNABLE;
    unlock(&table.lock);
    return 0;
  }
  unlock(&table.lock);
  return -1;
}
