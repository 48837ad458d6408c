/* Exceptions, interrupts, system calls: all by way of trap(). */
#include "kernel.h"

static u32 idt[256][2] __attribute__((aligned(8)));
struct spinlock ticks_lock = {.name = "ticks"};
volatile u32 ticks;

void traps_init(void) {
  for (u32 n = 0; n < 256; n++) {
    /* Interrupt gates; the system call is a trap gate, which leaves interrupts on, and user mode may use it. */
    u32 access = n == VECTOR_SYSCALL ? 0xef00 : 0x8e00;
    idt[n][0] = SEL_KCODE << 16 | (trap_stubs[n] & 0xffff);
    idt[n][1] = (trap_stubs[n] & 0xffff0000) | access;
  }
}
void traps_load(void) { load_table(idt, sizeof idt, 1); }

static void fault(struct frame *f) {
  struct process *p = self();
  if (!p || !(f->cs & 3)) {
    print("vector %d, eip %x, cr2 %x\n", f->vector, f->eip, fault_address());
    panic("exception in the kernel");
  }
  print("%s: vector %d, error %x, eip %x", p->name, f->vector, f->error, f->eip);
  if (f->vector == 14) print(", address %x", fault_address());
  print(": killed\n");
  p->killed = 1;
}

void trap(struct frame *f) {
  struct process *p = self();
  if (f->vector == VECTOR_SYSCALL) {
    if (p->killed) exit(-1);
    p->frame = f;
    system_call();
    if (p->killed) exit(-1);
    return;
  }
  switch (f->vector) {
    case VECTOR_IRQ + IRQ_TIMER:
      if (this_cpu() == &cpus[0]) {
        lock(&ticks_lock);
        ticks++;
        wakeup((void *)&ticks);
        unlock(&ticks_lock);
      }
      lapic_end();
      break;
    case VECTOR_IRQ + IRQ_DISK:
      disk_interrupt();
      lapic_end();
      break;
    case VECTOR_IRQ + IRQ_DISK + 1: break; /* some machines make up a second channel */
    case VECTOR_IRQ + IRQ_KEYBOARD:
      keyboard_interrupt();
      lapic_end();
      break;
    case VECTOR_IRQ + IRQ_SERIAL:
      serial_interrupt();
      lapic_end();
      break;
    case VECTOR_IRQ + 7:
    case VECTOR_IRQ + IRQ_SPURIOUS:
      print("spurious interrupt on CPU %d at %x:%x\n", this_cpu() - cpus, f->cs, f->eip);
      lapic_end();
      break;
    default: fault(f);
  }
  /* A process that was killed dies on its way to user mode; one whose time is over lets others run. */
  if (p && p->killed && (f->cs & 3)) exit(-1);
  if (p && p->state == RUNNING && f->vector == VECTOR_IRQ + IRQ_TIMER) yield();
  if (p && p->killed && (f->cs & 3)) exit(-1);
}
